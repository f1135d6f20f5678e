/** An image of one static program: for the few images that the region itself needs. */
import { basename, join } from "node:path"
import { readFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { run } from "../Command.ts"
import { BaseImagesError, PushFailed } from "./BaseImagesError.ts"
import * as OciImage from "./OciImage.ts"
import * as RegistryPush from "./RegistryPush.ts"

export interface ProgramImage {
  readonly repository: string
  readonly tag: string
  /** Path of the program, which lies at the image's root by the same name and is its entrypoint. */
  readonly program: string
}

/** Pushes the image; the same program gives the same digest. */
export const push = Effect.fn("ProgramImage.push")(
  function* (endpoint: string, image: ProgramImage) {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "mcpdeploy-image-" })
    const file = join(folder, "layer.tar")
    const name = basename(image.program)
    yield* run("tar", [
      ...[
        "--create",
        "--dereference",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=755"
      ],
      ...["--file", file, "--directory", join(image.program, ".."), name]
    ])
    const bytes = yield* Effect.tryPromise({
      try: () => readFile(file),
      catch: (cause) => new PushFailed({ image: image.repository, detail: String(cause) })
    })
    const digest = OciImage.sha256(bytes)
    const registry = yield* RegistryPush.make(endpoint)
    yield* registry.push(
      image.repository,
      [image.tag],
      OciImage.make(
        {
          config: { Entrypoint: [`/${name}`] },
          history: [`mcpdeploy local region: ${name}`],
          description: `${name}, for a local region`,
          layerType: "application/vnd.oci.image.layer.v1.tar"
        },
        [{ digest, diffId: digest, size: bytes.length, file }]
      )
    )
  },
  Effect.catchTag("PushFailed", (reason) => Effect.fail(new BaseImagesError({ reason }))),
  Effect.scoped
)
