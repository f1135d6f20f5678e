/** What tests find by their environment: a region that is up, the programs it was started with, and what tests alone need. */
import { execFile } from "node:child_process"
import { delimiter } from "node:path"
import { promisify } from "node:util"
import { regionEnvironment } from "../packages/local-region/src/RegionEnvironment.ts"
import { testPackages } from "./test-packages.ts"

const root = new URL("..", import.meta.url).pathname

/** The folder of a tool that is no part of a region; it is built when it is missing. */
export const toolFolder = async (name: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["packages/local-region/src/main.ts", "tool", name],
    { cwd: root }
  )
  return stdout.trim().split("\n").at(-1) ?? ""
}

/** For the region whose data is in `folder`. Throws when it is not up. */
export const testEnvironment = async (folder: string): Promise<Readonly<Record<string, string>>> => {
  const region = regionEnvironment(folder)
  const kubectl = await toolFolder("kubectl")
  // Only where there is something to render.
  if (process.env["MCPDEPLOY_TEST_CHARTS"] !== undefined) await toolFolder("helm")
  const programs = await testPackages().catch((error: unknown) => {
    process.stderr.write(
      `Debian's packages for tests could not be had, some will be skipped: ${String(error)}\n`
    )
    return []
  })
  return {
    ...region,
    PATH: [process.env["PATH"] ?? "", kubectl, ...programs].join(delimiter)
  }
}
