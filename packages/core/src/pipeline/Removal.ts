/**
 * Removal: a service, or a whole project, goes with all it has anywhere: mirror and webhook, domains and certificates,
 * objects, request in the catalog, images and build cache in the registry, namespace.
 *
 * Every step looks for what is there and removes that, so a removal that was killed is completed by running it again. What a
 * later step must know of goes last: the request (which repository) after the mirror, the namespace (whose name the
 * registry's repositories have) after the images.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ClusterApplier } from "../ClusterApplier.ts"
import { DomainManager } from "../DomainManager.ts"
import { internalRegistry } from "../domain/Image.ts"
import type { Owner, ServiceTarget } from "../domain/Identity.ts"
import type { RepositoryUrl } from "../domain/Source.ts"
import { GitMirror } from "../GitMirror.ts"
import { Projects } from "../Projects.ts"
import { Registry } from "../Registry.ts"
import { ServiceCatalog } from "../ServiceCatalog.ts"

/** The steps, in their order; `project` only where a whole project is removed. */
export const RemovalStep = Schema.Literals(["mirror", "domains", "workload", "images", "project"])
export type RemovalStep = typeof RemovalStep.Type

const Names = Schema.Array(Schema.String)

/** What one call has removed: what an earlier one removed is not in it. */
export const Removed = Schema.Struct({
  mirrors: Names,
  domains: Names,
  /** `Kind name`, as the cluster calls them. */
  objects: Names,
  /** `repository:tag`, the build cache's included. */
  images: Names,
  namespaces: Names
})
export type Removed = typeof Removed.Type

/** A step of a removal begins. */
export const RemovalStarted = Schema.TaggedStruct("RemovalStarted", {
  step: RemovalStep,
  subject: Schema.String
})
/** A step of a removal has ended, and has removed this. */
export const RemovalFinished = Schema.TaggedStruct("RemovalFinished", {
  step: RemovalStep,
  subject: Schema.String,
  removed: Names
})
/** What happens in a removal. */
export const RemovalEvent = Schema.Union([RemovalStarted, RemovalFinished])
export type RemovalEvent = typeof RemovalEvent.Type

/** Where events go; without it they are dropped. */
export const RemovalEvents = Context.Reference<(event: RemovalEvent) => Effect.Effect<void>>(
  "mcpdeploy/core/RemovalEvents",
  { defaultValue: () => () => Effect.void }
)

/** It takes longer than it may. What was removed stays removed: another call goes on. */
export class RemovalUnfinished extends Schema.TaggedError<RemovalUnfinished>()("RemovalUnfinished", {
  subject: Schema.String,
  seconds: Schema.Finite
}) {
  readonly retryable = true
  override get message(): string {
    return `the removal of ${this.subject} was not finished after ${this.seconds} seconds: run it again, it goes on where it was`
  }
}

const defaultDeadlineSeconds = 600
const concurrency = 8

/** A step between its two events. */
const step = Effect.fnUntraced(function* <E, R>(
  name: RemovalStep,
  subject: string,
  remove: Effect.Effect<ReadonlyArray<string>, E, R>
) {
  const send = yield* RemovalEvents
  yield* send({ _tag: "RemovalStarted", step: name, subject })
  const removed = yield* remove
  yield* send({ _tag: "RemovalFinished", step: name, subject, removed })
  return removed
})

/**
 * Removes the mirrors that only these services deploy from: its webhook would tell of pushes that concern nobody. A mirror
 * is the region's, so it stays while any other service of any customer deploys from it or from its source.
 */
const removeMirrors = Effect.fnUntraced(function* (targets: ReadonlyArray<ServiceTarget>) {
  const catalog = yield* ServiceCatalog
  const mirrors = yield* GitMirror
  const keys = new Set(targets.map(({ key }) => key))
  const requests = yield* Effect.forEach(targets, (target) => catalog.get(target), { concurrency })
  const urls = new Set(requests.flatMap((request) => request?.source.repository.url ?? []))
  if (urls.size === 0) return []
  const isUsed = Effect.fnUntraced(function* (url: RepositoryUrl) {
    return (yield* catalog.ofRepository(url)).some(({ target }) => !keys.has(target.key))
  })
  const same = (a: string | undefined, b: string) => a !== undefined && comparable(a) === comparable(b)
  const candidates = (yield* mirrors.list).filter(({ url }) => [...urls].some((used) => same(url, used)))
  return yield* Effect.filter(
    candidates,
    Effect.fnUntraced(function* ({ spec, url }) {
      const cloned = [...urls].filter((used) => same(url, used))
      if (yield* anyOf([...cloned, spec.source], isUsed)) return false
      yield* mirrors.remove(spec.name)
      return true
    })
  ).pipe(Effect.map((removed) => removed.map(({ spec }) => String(spec.name))))
})

/** URLs that differ in letter case, `.git` or a last slash alone are the same, as in the catalog. */
const comparable = (url: string): string =>
  url
    .toLowerCase()
    .replace(/\/+$/, "")
    .replace(/\.git$/, "")

const anyOf = <A, E, R>(items: ReadonlyArray<A>, test: (item: A) => Effect.Effect<boolean, E, R>) =>
  Effect.map(Effect.forEach(items, test), (results) => results.includes(true))

/** Gives up the hosts of a project, or of one of its services: held by nobody, nobody else could use them. */
const releaseDomains = Effect.fnUntraced(function* (owner: Owner, service?: ServiceTarget) {
  const domains = yield* DomainManager
  const held = (yield* domains.list(owner)).filter(
    ({ target }) => service === undefined || target.key === service.key
  )
  yield* Effect.forEach(held, ({ host, target }) => domains.remove(target, host), {
    concurrency,
    discard: true
  })
  return held.map(({ host }) => String(host))
})

/** All tags of a repository, with the manifests they name. What no tag names is left to the registry's collection. */
const removeRepository = Effect.fnUntraced(function* (repository: string) {
  const registry = yield* Registry
  const image = { registry: internalRegistry, repository }
  const tags = yield* registry.list(image)
  yield* Effect.forEach(
    tags,
    (tag) =>
      registry.resolve(image, tag).pipe(
        Effect.flatMap((digest) => registry.delete(image, digest)),
        // Another tag of the same manifest was quicker.
        Effect.catchReason("RegistryError", "ImageNotFound", () => Effect.void)
      ),
    { concurrency, discard: true }
  )
  return tags.map((tag) => `${repository}:${tag}`)
})

const withDeadline =
  (subject: string, seconds: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.timeoutOrElse({
        duration: `${seconds} seconds`,
        orElse: () => Effect.fail(new RemovalUnfinished({ subject, seconds }))
      })
    )

const nothing: Removed = { mirrors: [], domains: [], objects: [], images: [], namespaces: [] }

/**
 * Removes a service, and returns when nothing of it is left. Where the project's namespace is gone, nobody holds its name any
 * more, so that its images are left to the registry's collection.
 */
export const removeService = Effect.fn("removeService")(function* (
  target: ServiceTarget,
  deadlineSeconds: number = defaultDeadlineSeconds
) {
  const cluster = yield* ClusterApplier
  const projects = yield* Projects
  return yield* Effect.gen(function* () {
    const there = yield* projects.exists(target.owner)
    const subject = target.key
    const mirrors = there ? yield* step("mirror", subject, removeMirrors([target])) : []
    const domains = yield* step("domains", subject, releaseDomains(target.owner, target))
    if (!there) return { ...nothing, domains }
    const objects = yield* step("workload", subject, cluster.delete(target))
    // Once more: an `add` that was under way may have claimed one.
    const late = yield* releaseDomains(target.owner, target)
    const images = yield* step("images", subject, removeRepository(`${target.namespace}/${target.service}`))
    return { ...nothing, mirrors, domains: [...domains, ...late], objects, images }
  }).pipe(withDeadline(target.key, deadlineSeconds))
})

/** How often services that are deployed meanwhile are removed as well. */
const rounds = 3

/** Removes a project with all its services, and returns when its namespace is gone. */
export const removeProject = Effect.fn("removeProject")(function* (
  owner: Owner,
  deadlineSeconds: number = defaultDeadlineSeconds
) {
  const cluster = yield* ClusterApplier
  const projects = yield* Projects
  const registry = yield* Registry
  const subject = `${owner.user}/${owner.project}`

  const round = Effect.gen(function* () {
    const there = yield* projects.exists(owner)
    const targets = yield* projects.services(owner)
    const mirrors = yield* step("mirror", subject, removeMirrors(targets))
    const domains = yield* step("domains", subject, releaseDomains(owner))
    const objects = yield* Effect.forEach(
      targets,
      (target) => step("workload", target.key, cluster.delete(target)),
      { concurrency: "unbounded" }
    )
    const late = yield* releaseDomains(owner)
    const inRegistry = there
      ? (yield* registry.repositories(internalRegistry)).filter((name) =>
          name.startsWith(`${owner.namespace}/`)
        )
      : []
    const images = yield* step(
      "images",
      subject,
      Effect.map(Effect.forEach(inRegistry, removeRepository, { concurrency }), (names) => names.flat())
    )
    const namespaces = yield* step(
      "project",
      subject,
      Effect.map(projects.delete(owner), (was) => (was ? [String(owner.namespace)] : []))
    )
    return { mirrors, domains: [...domains, ...late], objects: objects.flat(), images, namespaces }
  })
  return yield* round.pipe(
    Effect.retry({
      times: rounds,
      while: (error) => error._tag === "ClusterApplierError" && error.reason._tag === "ProjectNotEmpty"
    }),
    withDeadline(subject, deadlineSeconds)
  )
})
