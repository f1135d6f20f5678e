/** The image registry, with nothing but the file system behind it. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Health from "../Health.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"

/** JSON is YAML. The secret only signs upload sessions of these servers, which share their storage. */
const configuration = (root: string, http: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(
    {
      version: 0.1,
      log: { level: "warn", accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: root },
        delete: { enabled: true },
        maintenance: { uploadpurging: { enabled: true, age: "24h", interval: "1h", dryrun: false } }
      },
      http: { ...http, secret: "one region has nobody to share it with" }
    },
    undefined,
    2
  )

const serve = Effect.fnUntraced(function* (
  name: string,
  http: Readonly<Record<string, unknown>>,
  healthy: Server.ServerOptions["healthy"]
) {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const command = yield* program("registry", "registry")
  const file = join(folder.configuration, `${name}.json`)
  yield* fs.writeFileString(file, configuration(folder.state("registry"), http))
  yield* Server.start({
    name,
    command,
    args: ["serve", file],
    env: { OTEL_TRACES_EXPORTER: "none" },
    healthy
  })
})

export const start = Effect.fn("Registry.start")(function* () {
  const port = Network.guestPorts.registry
  yield* serve("registry", { addr: `0.0.0.0:${port}` }, Health.http(`http://127.0.0.1:${port}/v2/`))
})

/** The same images, for who shows buildkitd's certificate: what a Dockerfile makes buildkitd fetch shows none. */
export const startForBuilds = Effect.fn("Registry.startForBuilds")(function* () {
  const { folder } = yield* Supervision
  const at = (name: string) => join(folder.certificates, name)
  const host = Network.builds.linkAddress
  const port = Network.guestPorts.registryForBuilds
  yield* serve(
    "registry-for-builds",
    {
      addr: `${host}:${port}`,
      tls: { certificate: at("registry.crt"), key: at("registry.key"), clientcas: [at("ca.crt")] }
    },
    Health.accepts({ host, port })
  )
})
