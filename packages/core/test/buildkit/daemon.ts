/** What the tests against real servers share: the daemon, contexts made on the fly, and builds with short requests. */
import { strict as assert } from "node:assert"
import type { BuildFailureReason } from "@mcpdeploy/core/BuildFailure"
import { BuildSlots } from "@mcpdeploy/core/BuildSlots"
import { type BuildkitConfig, layer } from "@mcpdeploy/core/buildkit/BuildkitImageBuilder"
import { ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import { Namespace, ServiceName, UserId } from "@mcpdeploy/core/domain/Identity"
import { CommitSha, DockerfilePath } from "@mcpdeploy/core/domain/Source"
import { type BuildEvent, type BuildRequest, type Built, ImageBuilder } from "@mcpdeploy/core/ImageBuilder"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/** `unix:///…` of a buildkitd whose RUN works and that has `busybox`. */
export const daemonAddress = process.env["MCPDEPLOY_TEST_BUILDKIT"]
/** host:port at which this process reaches the registry that the daemon knows as registry.internal:5000. */
export const registryAddress = process.env["MCPDEPLOY_TEST_REGISTRY"]
export const needsDaemon =
  daemonAddress === undefined || registryAddress === undefined
    ? "SKIPPED, because MCPDEPLOY_TEST_BUILDKIT or MCPDEPLOY_TEST_REGISTRY is not set"
    : ""

export const unique = (): string => randomBytes(4).toString("hex")

/** An image of a service that no other test has. */
export const newImage = (service = `s${unique()}`): ImageRef =>
  new ImageRef({
    registry: internalRegistry,
    namespace: Namespace.make("dp-test-builder"),
    service: ServiceName.make(service),
    commit: CommitSha.make("c".repeat(40))
  })

/** A folder with these files. Text ends up as it is; a number is that many random bytes. */
export const folder = (
  files: Readonly<Record<string, string | number>>
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const root = fs.mkdtempSync(path.join(os.tmpdir(), "mcpdeploy-build-"))
      for (const [name, content] of Object.entries(files)) {
        fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
        fs.writeFileSync(path.join(root, name), typeof content === "number" ? randomBytes(content) : content)
      }
      return root
    }),
    (root) => Effect.sync(() => fs.rmSync(root, { recursive: true, force: true }))
  )

export const request = (
  context: string,
  more: Partial<BuildRequest & { readonly image: ImageRef }> = {}
): BuildRequest & { readonly image: ImageRef } => ({
  image: newImage(),
  context,
  dockerfile: DockerfilePath.make("Dockerfile"),
  tenant: UserId.make("test"),
  args: {},
  secrets: {},
  buildKey: unique(),
  acceptFinished: true,
  timeoutSeconds: 100,
  ...more
})

/** All events of a build. */
export const eventsOf = (asked: BuildRequest) =>
  ImageBuilder.use((builder) => Stream.runCollect(builder.build(asked)))

export const builtIn = (events: ReadonlyArray<BuildEvent>): Built => {
  const last = events.at(-1)
  assert(last?._tag === "Built")
  return last
}
export const linesIn = (events: ReadonlyArray<BuildEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => (event._tag === "BuildLog" ? [event.line] : []))
export const statesIn = (events: ReadonlyArray<BuildEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => (event._tag === "BuildVertex" ? [`${event.name}: ${event.state}`] : []))

/** Why a build fails. */
export const reasonOf = (asked: BuildRequest): Effect.Effect<BuildFailureReason, unknown, ImageBuilder> =>
  Effect.map(Effect.flip(eventsOf(asked)), ({ reason }) => reason)

export const builderLayer = (more: Partial<BuildkitConfig> = {}, slots = 8) =>
  layer({ address: daemonAddress ?? "unix:///nowhere", ...more }).pipe(Layer.provide(BuildSlots.layer(slots)))

interface Manifest {
  readonly layers: ReadonlyArray<{ readonly digest: string }>
}
/** The manifest in the registry; fails unless its digest is this one. */
export const manifestOf = (image: ImageRef, digest: string) =>
  Effect.promise(async (): Promise<Manifest> => {
    const response = await fetch(`http://${registryAddress}/v2/${image.repository}/manifests/${digest}`, {
      headers: { accept: "application/vnd.oci.image.manifest.v1+json" }
    })
    assert.strictEqual(response.status, 200)
    assert.strictEqual(response.headers.get("docker-content-digest"), digest)
    return JSON.parse(await response.text())
  })

/** All tags of the image's repository. */
export const tagsOf = (image: ImageRef) =>
  Effect.promise(async (): Promise<ReadonlyArray<string>> => {
    const response = await fetch(`http://${registryAddress}/v2/${image.repository}/tags/list`)
    const { tags } = JSON.parse(await response.text())
    return tags
  })

/** Whether any process of this machine has this text in its command line. */
export const isRunning = (text: string): boolean =>
  fs.readdirSync("/proc").some((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text)
    } catch {
      return false
    }
  })
