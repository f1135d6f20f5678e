/**
 * `pnpm demo`: a region on this machine, a git repository, a deploy, a change, a broken change and the return from it.
 * Ends with the URL, the app's answer and the receipt. The region stays up.
 *
 * `pnpm demo --temporal`: the same by pushes to the region's Gitea, through deployer-server, Temporal and deployer-worker.
 */
import { execFileSync, spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { dataFolder, defaultDataFolder } from "../packages/local-region/src/DataFolder.ts"

const root = new URL("..", import.meta.url).pathname
const cli = join(root, "packages/cli/src/main.ts")
const startedAt = performance.now()

const say = (text: string): void => {
  process.stdout.write(
    `\n\u001b[1m${((performance.now() - startedAt) / 1000).toFixed(0).padStart(4)} s  ${text}\u001b[0m\n`
  )
}

/** Runs the command line and returns its exit code and, where it is asked for, its standard output. */
const mcpdeploy = (args: ReadonlyArray<string>, capture = false): Promise<{ code: number; output: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      stdio: ["ignore", capture ? "pipe" : "inherit", "inherit"]
    })
    let output = ""
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.on("error", reject)
    child.on("exit", (code) => resolve({ code: code ?? 1, output }))
  })

const expectExit = async (expected: number, args: ReadonlyArray<string>): Promise<void> => {
  const { code } = await mcpdeploy(args)
  if (code !== expected) throw new Error(`mcpdeploy ${args.join(" ")} ended with ${code}, not ${expected}`)
}

const repository = mkdtempSync(join(tmpdir(), "mcpdeploy-demo-"))
const server = join(repository, "server.js")
const serviceFile = ["--file", join(repository, "mcpdeploy.yaml")]

const git = (...args: ReadonlyArray<string>): void => {
  execFileSync("git", ["-c", "user.name=demo", "-c", "user.email=demo@localhost", ...args], {
    cwd: repository,
    stdio: ["ignore", "ignore", "inherit"]
  })
}

const commit = (message: string, change: (text: string) => string): void => {
  writeFileSync(server, change(readFileSync(server, "utf8")))
  git("add", "-A")
  git("commit", "-q", "-m", message)
}

const status = async (): Promise<{ url: string }> => {
  const { output } = await mcpdeploy([...serviceFile, "status", "--json"], true)
  return JSON.parse(output)
}

/** The app's answer through the region's ingress. `*.localhost` is this machine (RFC 6761, 6.3), whatever the resolver says. */
const answer = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const { host, port } = new URL(url)
    get({ host: "127.0.0.1", port, path: "/", headers: { host } }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => resolve(`${response.statusCode} ${body.trim()}`))
    }).on("error", reject)
  })

/** By pushes, through both processes of the execution plane. */
const demoTemporal = async (): Promise<void> => {
  const folder = dataFolder(process.env["MCPDEPLOY_LOCAL_DATA"] ?? defaultDataFolder())
  const demo = spawn(process.execPath, [join(root, "examples/product-plane/src/demo.ts"), folder.region], {
    stdio: "inherit"
  })
  const code = await new Promise((resolve) => demo.once("exit", resolve))
  if (code !== 0) throw new Error(`the demo ended with ${code}`)
}

/** By the command line. */
async function demoCommandLine(): Promise<void> {
  say("A git repository with a Node app, and its first deploy")
  cpSync(join(root, "examples/node-web"), repository, { recursive: true })
  git("init", "-q", "-b", "main")
  commit("first", (text) => text)
  await expectExit(0, [...serviceFile, "deploy"])
  const { url } = await status()
  say(`${url} answers ${await answer(url)}`)

  say("A change, and the second deploy")
  commit("second", (text) => text.replace("hello:", "howdy:"))
  await expectExit(0, [...serviceFile, "deploy"])
  say(`${url} answers ${await answer(url)}`)

  say("A change that breaks the app: the deploy fails, says why, and the second one runs again")
  commit("broken", (text) =>
    text.replace("await app.listen", 'throw new Error("no database")\nawait app.listen')
  )
  await expectExit(1, [...serviceFile, "deploy"])

  say("What runs now")
  await expectExit(0, [...serviceFile, "status"])
  await expectExit(0, [...serviceFile, "history"])
  const { output } = await mcpdeploy([...serviceFile, "history", "--json"], true)
  const [receipt] = JSON.parse(output)
  process.stdout.write(
    `\nurl      ${url}\nanswer   ${await answer(url)}\nreceipt  ${JSON.stringify(receipt, null, 2)}\n`
  )
}

const byTemporal = process.argv.includes("--temporal")

try {
  say(
    `A region on this machine: etcd, Kubernetes, containerd, gVisor, Traefik, a registry and BuildKit${byTemporal ? ", Temporal and Gitea" : ""}`
  )
  await expectExit(0, ["local", "up", ...(byTemporal ? ["--with", "temporal,gitea"] : [])])
  if (byTemporal) await demoTemporal()
  else await demoCommandLine()
  process.stdout.write("\nThe region stays up. To end it: npx --yes pnpm@12 mcpdeploy local down\n")
} finally {
  rmSync(repository, { recursive: true, force: true })
}
