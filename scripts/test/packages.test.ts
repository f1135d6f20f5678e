import { assert, beforeAll, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll } from "vitest"

const exec = promisify(execFile)
const root = new URL("../..", import.meta.url).pathname
const scope = "@mcpdeploy/"

/** The package, after all packages of the workspace that it needs. */
const withDependencies = async (name: string): Promise<ReadonlyArray<string>> => {
  const { dependencies }: { readonly dependencies?: Readonly<Record<string, string>> } = JSON.parse(
    await readFile(join(root, "packages", name, "package.json"), "utf8")
  )
  const own = Object.keys(dependencies ?? {}).filter((dependency) => dependency.startsWith(scope))
  const needed = await Promise.all(own.map((dependency) => withDependencies(dependency.slice(scope.length))))
  return [...new Set([...needed.flat(), name])]
}
const names = await withDependencies("cli")

describe("packed packages", () => {
  let folder = ""

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "mcpdeploy-pack-"))
    await exec("pnpm", ["exec", "tsc", "-b", ...names.map((name) => `packages/${name}/tsconfig.src.json`)], {
      cwd: root
    })
    for (const name of names) {
      await exec("pnpm", ["pack", "--pack-destination", folder], { cwd: join(root, "packages", name) })
    }
    const tarballs = (await readdir(folder)).filter((file) => file.endsWith(".tgz"))
    const project = join(folder, "project")
    await mkdir(project)
    const dependencies = Object.fromEntries(
      names.map((name) => [
        `${scope}${name}`,
        `file:../${tarballs.find((file) => file.startsWith(`mcpdeploy-${name}-`)) ?? ""}`
      ])
    )
    await writeFile(
      join(project, "package.json"),
      JSON.stringify({
        name: "outside",
        private: true,
        type: "module",
        dependencies: { ...dependencies, effect: "4.1.0", "@types/node": "24.19.2", typescript: "7.0.2" },
        overrides: dependencies
      })
    )
    await exec("npm", ["install", "--no-audit", "--no-fund"], { cwd: project })
  }, 300_000)

  afterAll(() => rm(folder, { recursive: true, force: true }))

  it("can be imported, with types, in a project outside the workspace", async () => {
    const project = join(folder, "project")
    await writeFile(
      join(project, "main.ts"),
      [
        'import { ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"',
        'import { Owner, ProjectName, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"',
        'import { CommitSha } from "@mcpdeploy/core/domain/Source"',
        'import { DeployRunner } from "@mcpdeploy/core/pipeline/DeployRunner"',
        'import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"',
        'const owner = new Owner({ user: UserId.make("ann"), project: ProjectName.make("shop") })',
        "const image: ImageRef = new ImageRef({",
        '  registry: internalRegistry, namespace: owner.namespace, service: ServiceName.make("web"),',
        '  commit: CommitSha.make("0123456789012345678901234567890123456789")',
        "})",
        "console.log(String(image), typeof DeployRunner.layer, typeof regionLayer)"
      ].join("\n")
    )
    await exec(
      join(project, "node_modules/.bin/tsc"),
      ["--strict", "--module", "nodenext", "--target", "es2024", "--types", "node", "main.ts"],
      { cwd: project }
    )
    const { stdout } = await exec(process.execPath, ["main.js"], { cwd: project })
    assert.strictEqual(
      stdout,
      "registry.internal:5000/dp-ann-shop/web:0123456789012345678901234567890123456789 object function\n"
    )
  })

  it("installs the command mcpdeploy, whose help needs no configuration", async () => {
    const { stdout } = await exec(join(folder, "project/node_modules/.bin/mcpdeploy"), ["--help"], {
      cwd: folder,
      env: { PATH: `${join(process.execPath, "..")}:${process.env.PATH ?? ""}` }
    })
    assert.include(stdout, "deploy")
  })
})
