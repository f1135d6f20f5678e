/** Temporal's dev server: the whole of Temporal in one process, its data in one SQLite file. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { run } from "../Command.ts"
import * as Network from "../Network.ts"
import type { BundleSettings } from "../RegionState.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import { temporalTool } from "../Tools.ts"

export const endpoint = ({ ports }: BundleSettings) => ({ address: `127.0.0.1:${ports.temporal}` })

export const start = Effect.fn("Temporal.start")(function* () {
  const { folder, program, settings } = yield* Supervision
  const command = yield* program(temporalTool.name, "temporal")
  const { address } = endpoint(settings)
  yield* Server.start({
    name: "temporal",
    onMachine: true,
    command,
    args: [
      ...[
        "server",
        "start-dev",
        "--headless",
        "--ip",
        "127.0.0.1",
        "--port",
        String(settings.ports.temporal)
      ],
      ...["--db-filename", join(folder.state("temporal"), "temporal.db"), "--log-level", "warn"]
    ],
    healthy: run("nsenter", [
      ...Network.onMachine,
      ...[command, "operator", "namespace", "describe", "default", "--address", address]
    ])
  })
})
