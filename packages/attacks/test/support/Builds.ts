/** Builds as a tenant asks for them. */
import { randomBytes } from "node:crypto"
import { rmSync } from "node:fs"
import type { BuildFailureReason } from "@mcpdeploy/core/BuildFailure"
import { ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { CommitSha, DockerfilePath } from "@mcpdeploy/core/domain/Source"
import { type BuildRequest, ImageBuilder } from "@mcpdeploy/core/ImageBuilder"
import { Registry } from "@mcpdeploy/core/Registry"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { folderWith } from "./Repository.ts"

export const unique = (): string => randomBytes(6).toString("hex")

export interface Attempt {
  readonly dockerfile: string
  readonly files?: Readonly<Record<string, string>>
  readonly links?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
  readonly args?: Readonly<Record<string, string>>
  readonly timeoutSeconds?: number
}

export const imageOf = (target: ServiceTarget) =>
  new ImageRef({
    registry: internalRegistry,
    namespace: target.namespace,
    service: target.service,
    commit: CommitSha.make(randomBytes(20).toString("hex"))
  })

const requestOf = (
  target: ServiceTarget,
  context: string,
  attempt: Attempt
): BuildRequest & { readonly image: ImageRef } => ({
  tenant: target.owner.user,
  image: imageOf(target),
  context,
  dockerfile: DockerfilePath.make("Dockerfile"),
  args: attempt.args ?? {},
  secrets: Object.fromEntries(
    Object.entries(attempt.secrets ?? {}).map(([id, value]) => [
      id,
      Redacted.make(new TextEncoder().encode(value))
    ])
  ),
  buildKey: unique(),
  acceptFinished: true,
  timeoutSeconds: attempt.timeoutSeconds ?? 90
})

export interface Outcome {
  /** What the steps wrote. */
  readonly output: string
  readonly failure: BuildFailureReason | undefined
}

/** Builds, whether it succeeds or not. A successful build is published, so that others could name it. */
export const build = Effect.fn("build")(function* (target: ServiceTarget, attempt: Attempt) {
  const builder = yield* ImageBuilder
  const registry = yield* Registry
  const context = yield* Effect.acquireRelease(
    Effect.sync(() => folderWith({ Dockerfile: attempt.dockerfile, ...attempt.files }, attempt.links)),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const asked = requestOf(target, context, attempt)
  const lines: Array<string> = []
  const failure = yield* builder.build(asked).pipe(
    Stream.runForEach((event) => {
      if (event._tag === "BuildLog") lines.push(event.line)
      return event._tag === "Built"
        ? Effect.asVoid(registry.publish(asked.image, asked.image.commit, event.digest))
        : Effect.void
    }),
    Effect.as(undefined),
    Effect.catchTag("ImageBuilderError", ({ reason }) => Effect.succeed(reason))
  )
  const outcome: Outcome = { output: lines.join("\n"), failure }
  return { ...outcome, image: asked.image }
}, Effect.scoped)
