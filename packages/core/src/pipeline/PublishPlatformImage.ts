/**
 * PublishPlatformImage: an image of the platform's own, such as deployer-worker's, becomes one as a customer's does: clone, build,
 * push. Manifests name it by its tag, which nodes keep once they have pulled it: a tag never changes what it means.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { buildKey } from "../domain/BuildKey.ts"
import { defaultDockerfile, defaultRootDirectory } from "../domain/DeployRequest.ts"
import { UserId } from "../domain/Identity.ts"
import { ImageDigest, type PlatformImage } from "../domain/Image.ts"
import { platformVariables } from "../domain/PlatformVariables.ts"
import type { GitRef, GitRepository } from "../domain/Source.ts"
import { GitSource } from "../GitSource.ts"
import { ImageBuilder } from "../ImageBuilder.ts"
import { Registry } from "../Registry.ts"
import { bytes, followBuild, reported, short } from "./StepReport.ts"

/** The tag is there, and means another image. */
export class PlatformImageTaken extends Schema.TaggedError<PlatformImageTaken>()("PlatformImageTaken", {
  image: Schema.String,
  digest: ImageDigest
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.image} is ${this.digest} already, and nodes may have it: publish under another tag`
  }
}

/** An image of the platform's own, and the commit that it is made of. */
export interface PlatformImageRequest {
  readonly image: PlatformImage
  readonly repository: GitRepository
  readonly ref: GitRef
  readonly timeoutSeconds: number
}

/** The image's builds share the build pool with customers' as one more tenant. */
const tenant = UserId.make("mcpdeploy")

/** Repeated, it changes nothing. */
export const publishPlatformImage = Effect.fn("publishPlatformImage")(function* ({
  image,
  ref,
  repository,
  timeoutSeconds
}: PlatformImageRequest) {
  const git = yield* GitSource
  const builder = yield* ImageBuilder
  const registry = yield* Registry

  const checkout = yield* reported("clone")(
    Effect.gen(function* () {
      const output = yield* git.checkout(repository, yield* git.resolve(repository, ref))
      return {
        output,
        summary: `${output.commit.slice(0, 12)}, ${output.files} files, ${bytes(output.size)}`
      }
    }),
    {}
  )
  const { commit, path } = checkout
  const inputs = { dockerfile: defaultDockerfile, args: { [platformVariables.commit]: commit }, secrets: {} }
  const { digest } = yield* reported("build")(
    Effect.map(
      followBuild(
        builder.build({
          tenant,
          image,
          context: path,
          ...inputs,
          buildKey: buildKey(
            {
              ...inputs,
              repository,
              commit,
              rootDirectory: defaultRootDirectory,
              builderVersion: "platform 1"
            },
            Redacted.make("no secrets")
          ),
          acceptFinished: false,
          timeoutSeconds
        })
      ),
      (built) => ({ output: { digest: built.digest }, summary: short(built.digest) })
    ),
    {}
  )
  return yield* reported("push")(
    Effect.gen(function* () {
      const taken = yield* registry
        .resolve(image, image.tag)
        .pipe(Effect.catchReason("RegistryError", "ImageNotFound", () => Effect.undefined))
      if (taken !== undefined && taken !== digest) {
        return yield* new PlatformImageTaken({ image: String(image), digest: taken })
      }
      const { changed } = yield* registry.publish(image, image.tag, digest)
      return { output: { commit, digest, changed }, summary: changed ? String(image) : `${image} was there` }
    }),
    {}
  )
}, Effect.scoped)
