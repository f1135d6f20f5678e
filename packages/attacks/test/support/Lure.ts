/**
 * A server of the attacker's on the internet, as the region sees it: on an address for documentation (RFC 5737) that is put
 * into the region's own network namespace. It redirects to wherever its path says, and counts who comes.
 */
import { execFileSync, spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import { endpoints } from "./Region.ts"

/** Another one for each test file, since they run at the same time. */
export const address = `198.51.100.${1 + (process.pid % 250)}`
export const port = 8099
export const url = (path: string): string => `http://${address}:${port}${path}`
/** A path that redirects there. */
export const redirectTo = (target: string): string => url(`/to/${encodeURIComponent(target)}`)

const program = `
require("node:http").createServer((request, response) => {
  const target = /^\\/to\\/(.*)$/.exec(request.url)
  if (target) response.writeHead(302, { location: decodeURIComponent(target[1]) }).end()
  else response.end("LURED " + request.url)
}).listen(${port}, "${address}", () => console.log("up"))`

/** The network of the region's servers is a file in its own mount namespace; its init itself is in the machine's network. */
const inRegion = [
  ...["-t", String(endpoints.pid), "--mount", "--"],
  ...["nsenter", `--net=${endpoints.dataFolder}/network`, "--"]
]
const setAddress = (verb: "replace" | "del") =>
  execFileSync("nsenter", [...inRegion, "ip", "addr", verb, `${address}/32`, "dev", "lo"])

/** Serves until the scope closes. */
export const serve = Effect.acquireRelease(
  Effect.callback<ReturnType<typeof spawn>>((resume) => {
    setAddress("replace")
    const child = spawn("nsenter", [...inRegion, process.execPath, "-e", program], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    child.stdout.once("data", () => resume(Effect.succeed(child)))
  }),
  (child) =>
    Effect.sync(() => {
      child.kill("SIGKILL")
      setAddress("del")
    })
)
