/** `pnpm demo --temporal` on the region that `MCPDEPLOY_TEST_REGION` names: pushes become running pods, on real servers only. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"

const file = process.env["MCPDEPLOY_TEST_REGION"]
const parts: { readonly temporal?: object; readonly gitea?: object } =
  file === undefined ? {} : JSON.parse(readFileSync(file, "utf8"))
const isReady = parts.temporal !== undefined && parts.gitea !== undefined
const demo = new URL("../src/demo.ts", import.meta.url).pathname

describe.skipIf(!isReady)(
  `the demo${isReady ? "" : " (SKIPPED: MCPDEPLOY_TEST_REGION names no region with Temporal and Gitea)"}`,
  () => {
    it("deploys what the product plane starts and what is pushed, and tells a broken push as one", async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [demo, file ?? ""], { timeout: 180_000 })
      assert.include(stdout, 'answer  200 {"hello":"world"')
      assert.include(stdout, 'answer  200 {"howdy":"world"')
      assert.include(stdout, "no database")
      assert.include(stdout, "The project is deleted again")
    }, 200_000)
  }
)
