/**
 * `pnpm test:one FILE…`: some tests against the region that is up on this machine, as `pnpm test` would run them. Takes
 * Vitest's own options too. The region is the command line's: `MCPDEPLOY_LOCAL_DATA`, else the default folder.
 */
import { spawnSync } from "node:child_process"
import { defaultDataFolder } from "../packages/local-region/src/DataFolder.ts"
import { testEnvironment } from "./test-environment.ts"

const folder = process.env["MCPDEPLOY_LOCAL_DATA"] ?? defaultDataFolder()

const environment = await testEnvironment(folder).catch((error: unknown) => {
  process.stderr.write(
    `no region is up in ${folder} (${String(error)}): pnpm mcpdeploy local up --with temporal,gitea,acme\n`
  )
  process.exit(1)
})
const { status } = spawnSync("vitest", ["run", ...process.argv.slice(2)], {
  cwd: new URL("..", import.meta.url).pathname,
  stdio: "inherit",
  env: { ...process.env, ...environment }
})
process.exitCode = status ?? 1
