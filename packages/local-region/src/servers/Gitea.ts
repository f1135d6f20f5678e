/** Gitea in the region's bundle, in the machine's network: it sends webhooks to processes on the machine. */
import { randomBytes } from "node:crypto"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { run } from "../Command.ts"
import type { DataFolder } from "../DataFolder.ts"
import * as GiteaProgram from "../GiteaProgram.ts"
import * as Network from "../Network.ts"
import type { BundleSettings } from "../RegionState.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import { giteaTool } from "../Tools.ts"

export const endpoint = (folder: DataFolder, { ports }: BundleSettings) => ({
  url: `http://127.0.0.1:${ports.gitea}`,
  tokenFile: join(folder.state("gitea"), "token"),
  webhookSecretFile: join(folder.configuration, "gitea-webhook-secret")
})

export const start = Effect.fn("Gitea.start")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program, settings } = yield* Supervision
  const { tokenFile, url, webhookSecretFile } = endpoint(folder, settings)
  const gitea = GiteaProgram.make({
    programs: dirname(yield* program(giteaTool.name, "gitea")),
    data: join(folder.state("gitea"), "data"),
    url
  })
  if (!(yield* fs.exists(webhookSecretFile))) {
    yield* fs.writeFileString(webhookSecretFile, randomBytes(32).toString("hex"), { mode: 0o600 })
  }
  yield* GiteaProgram.prepare(gitea, tokenFile)
  yield* Server.start({
    name: "gitea",
    onMachine: true,
    ...gitea.command("web"),
    // The supervisor is in the bundle's network, so it asks by way of a process that is not.
    healthy: run("nsenter", [
      ...Network.onMachine,
      process.execPath,
      "--eval",
      `fetch(${JSON.stringify(`${url}/api/healthz`)}).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))`
    ])
  })
})
