import { execFile } from "node:child_process"
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"

const run = promisify(execFile)
const here = join(import.meta.dirname, "..")

/** pnpm writes `publishConfig.exports` and versions into what it packs; npm does not. */
const pnpm = process.env["npm_execpath"]?.includes("pnpm") === true ? process.env["npm_execpath"] : "pnpm"
const canPack = await run(pnpm, ["--version"]).then(
  () => true,
  () => false
)

const sizeOf = async (folder: string): Promise<number> => {
  let size = 0
  for (const entry of await readdir(folder, { recursive: true })) {
    const { blocks, size: bytes } = await stat(join(folder, entry))
    size += Math.max(blocks * 512, bytes)
  }
  return size
}

describe.skipIf(!canPack)(
  `the published package${canPack ? "" : " (skipped: no pnpm on PATH to pack with)"}`,
  () => {
    it("installs beside @temporalio/client in at most 5 MB, without Effect, imports and type-checks", async () => {
      const folder = await mkdtemp(join(tmpdir(), "mcpdeploy-contract-"))
      try {
        await run("tsc", ["-b", join(here, "tsconfig.src.json")])
        await run(pnpm, ["pack", "--pack-destination", folder], { cwd: here })
        const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"))
        const manifest: unknown = JSON.parse(
          await readFile(join(here, "node_modules", "@temporalio", "client", "package.json"), "utf8")
        )
        assert.isTrue(typeof manifest === "object" && manifest !== null && "version" in manifest)
        const version =
          typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : ""
        await writeFile(join(folder, "package.json"), JSON.stringify({ name: "product", type: "module" }))
        const install = ["install", "--no-audit", "--no-fund", "--ignore-scripts"]
        await run("npm", [...install, `@temporalio/client@${String(version)}`], { cwd: folder })
        const before = await sizeOf(join(folder, "node_modules"))
        await run("npm", [...install, `./${tarball ?? ""}`], { cwd: folder })
        const grown = (await sizeOf(join(folder, "node_modules"))) - before
        assert.isAtMost(grown, 5_000_000)
        assert.notInclude(await readdir(join(folder, "node_modules")), "effect")

        const program = `
        import { DeployClient, OperationFailed } from "@mcpdeploy/temporal-contract/client"
        import { dataConverter, parsePayloadKeys } from "@mcpdeploy/temporal-contract/codec"
        import { queues, workflowIds, type Verdict } from "@mcpdeploy/temporal-contract/contract"
        import type { DeployRequest } from "@mcpdeploy/temporal-contract/data"
        import { failureOf, type Failure } from "@mcpdeploy/temporal-contract/failure"
        const keys = parsePayloadKeys("k:" + Buffer.alloc(32).toString("base64"))
        const queue: "k8s-native" = queues.k8sNative
        const verdict: Verdict = { _tag: "Superseded", by: 2 }
        const failure: Failure = failureOf(new Error("x"))
        // @ts-expect-error a request has an owner: the types are there, not \`any\`.
        const request: DeployRequest = {}
        console.log([queue, verdict._tag, failure.error._tag, workflowIds.deleteProject({ user: "u", project: "p" }),
          dataConverter(keys).failureConverterPath !== undefined, typeof DeployClient, typeof OperationFailed,
          Object.keys(request).length].join(" "))
      `
        await writeFile(join(folder, "product.ts"), program)
        const types = join(here, "node_modules", "@types")
        await run(
          "tsc",
          [
            ...["--noEmit", "--strict", "--target", "ES2024", "--module", "NodeNext", "--skipLibCheck"],
            ...["--types", "node", "--typeRoots", types, "product.ts"]
          ],
          { cwd: folder }
        ).catch((error: unknown) =>
          assert.fail(
            typeof error === "object" && error !== null && "stdout" in error
              ? String(error.stdout)
              : String(error)
          )
        )
        const { stdout } = await run("node", ["product.ts"], { cwd: folder })
        assert.strictEqual(
          stdout.trim(),
          "k8s-native Superseded Unexpected delete/u/p true function function 0"
        )
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    })
  }
)
