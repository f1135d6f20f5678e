/** The image registry, with nothing but the file system behind it. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Health from "../Health.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"

export const start = Effect.fn("Registry.start")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const command = yield* program("registry", "registry")
  const file = join(folder.configuration, "registry.json")
  // JSON is YAML. The secret only signs upload sessions of this one server.
  const configuration = {
    version: 0.1,
    log: { level: "warn", accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: folder.state("registry") },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: true, age: "24h", interval: "1h", dryrun: false } }
    },
    http: { addr: `0.0.0.0:${Network.guestPorts.registry}`, secret: "one server has nobody to share it with" }
  }
  yield* fs.writeFileString(file, JSON.stringify(configuration, undefined, 2))
  yield* Server.start({
    name: "registry",
    command,
    args: ["serve", file],
    env: { OTEL_TRACES_EXPORTER: "none" },
    healthy: Health.http(`http://127.0.0.1:${Network.guestPorts.registry}/v2/`)
  })
})
