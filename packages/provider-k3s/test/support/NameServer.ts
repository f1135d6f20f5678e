/** The region's public name server (CoreDNS) with zones of a test's own. `MCPDEPLOY_TEST_NAMESERVER` names its program. */
import { spawn } from "node:child_process"
import { createSocket } from "node:dgram"
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as NameServers from "../../src/domains/NameServers.ts"

const cached = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mcpdeploy", "tools")

/** Else the one that a local region has been built with. */
export const program =
  process.env["MCPDEPLOY_TEST_NAMESERVER"] ??
  (existsSync(cached) ? readdirSync(cached) : [])
    .map((name) => join(cached, name, "nameserver"))
    .find((path) => path.includes("/acme-") && existsSync(path))

const freePort = Effect.callback<number>((resume) => {
  const socket = createSocket("udp4")
  socket.bind(0, "127.0.0.1", () => {
    const { port } = socket.address()
    socket.close(() => resume(Effect.succeed(port)))
  })
})

/** Zones by name; their records. `servers` are further blocks of the Corefile. */
export const start = Effect.fn("NameServer.start")(function* (
  zones: Readonly<Record<string, string>>,
  servers: (port: number) => string = () => ""
) {
  const port = yield* freePort
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-dns-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  for (const [zone, records] of Object.entries(zones))
    writeFileSync(
      join(folder, `db.${zone}`),
      `$ORIGIN ${zone === "." ? "" : zone}.\n$TTL 1\n@ IN SOA ns.test. host.test. 1 60 60 60 1\n@ IN NS ns.test.\n${records}\n`
    )
  const block = `.:${port} {\n bind 127.0.0.1\n auto {\n directory ${folder} db\\.(.*) {1}\n }\n}\n`
  writeFileSync(join(folder, "Corefile"), `${block}${servers(port)}`)
  yield* Effect.acquireRelease(
    Effect.sync(() => spawn(program ?? "", ["-conf", join(folder, "Corefile")], { stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const address = `127.0.0.1:${port}`
  // Its root zone is there from the beginning.
  yield* NameServers.make([address])
    .a("ready.test")
    .pipe(Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 100 }))))
  return address
})
