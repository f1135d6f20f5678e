/** GiteaMirror: {@link GitMirror} on Gitea's pull mirrors. */
import { createHmac } from "node:crypto"
import {
  GitMirror,
  type MirrorAdded,
  type MirrorChange,
  MirrorConflict,
  type MirrorName,
  MirrorNotFound,
  MirrorRefused,
  type MirrorSpec,
  type MirrorState
} from "@mcpdeploy/core/GitMirror"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import type { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Redacted from "effect/Redacted"
import * as GiteaApi from "./GiteaApi.ts"
import * as MirrorRecord from "./MirrorRecord.ts"

/** Which Gitea, and where its webhooks go. */
export interface GiteaMirrorConfig {
  readonly url: string
  /** Of an administrator. */
  readonly token: Redacted.Redacted
  /** Where deployer-server takes Gitea's webhooks, as Gitea reaches it. */
  readonly webhookUrl: string
  /** See {@link webhookSecret}. */
  readonly webhookSecret: Redacted.Redacted
  /** Where the list of mirrors is kept. Default: `dp-system`. */
  readonly namespace?: string
}

/** The secret of one mirror's webhook: it gives away no other's, and is the same after everything was lost but the master. */
export const webhookSecret = (master: Redacted.Redacted, name: MirrorName): Redacted.Redacted =>
  Redacted.make(
    createHmac("sha256", Redacted.value(master)).update(`mcpdeploy gitea webhook ${name}`).digest("hex")
  )

const events = ["push", "delete"]
const concurrency = 4

/** As Gitea writes it: Go's format, which leaves out hours that are not there. */
const intervalOf = ({ intervalMinutes }: MirrorSpec): string => {
  const hours = Math.floor(intervalMinutes / 60)
  return `${hours === 0 ? "" : `${hours}h`}${intervalMinutes % 60}m0s`
}

const isIt = (spec: MirrorSpec, repository: GiteaApi.Repository): boolean =>
  repository.mirror && repository.original_url === spec.source

/** A migration that failed, or goes on: Gitea makes the repository first, and leaves it when the clone fails. */
const isHalfMade = ({ mirror, mirror_interval: interval }: GiteaApi.Repository): boolean =>
  mirror && interval === ""

/** How long a half-made mirror is waited for before it is made anew. */
const settleTime = "20 seconds"

const sameSet = (one: ReadonlyArray<string>, other: ReadonlyArray<string>): boolean =>
  one.length === other.length && one.every((item) => other.includes(item))

const make = (
  config: GiteaMirrorConfig,
  gitea: GiteaApi.GiteaApi,
  cluster: KubernetesApi.KubernetesApi,
  secrets: SecretStore["Service"]
): GitMirror["Service"] => {
  const namespace = config.namespace ?? "dp-system"

  const migrate = Effect.fnUntraced(function* (spec: MirrorSpec) {
    const [owner = "", repository = ""] = spec.name.split("/")
    const password =
      spec.credentials === undefined
        ? undefined
        : yield* secrets
            .resolve(spec.credentials.password)
            .pipe(Effect.mapError((error) => new MirrorRefused({ detail: error.message })))
    const account = yield* gitea.call("GET", `/users/${owner}`)
    const hasOwner = account.status === 200
    if (!hasOwner) {
      yield* GiteaApi.send(gitea, `organization ${owner}`, "POST", "/orgs", {
        body: { username: owner, visibility: "private" }
      })
    }
    const send = GiteaApi.send(gitea, `mirror ${spec.source}`, "POST", "/repos/migrate", {
      slow: true,
      // Another call was quicker: what it made is judged after this.
      also: [409],
      body: {
        ...{ clone_addr: spec.source, repo_owner: owner, repo_name: repository, service: "git" },
        ...{ mirror: true, private: true, mirror_interval: intervalOf(spec) },
        ...(password === undefined
          ? {}
          : {
              auth_username: spec.credentials?.username ?? "x-access-token",
              auth_password: Redacted.value(password)
            })
      }
    })
    yield* send.pipe(
      Effect.tapErrorTag("MirrorRefused", () =>
        GiteaApi.send(gitea, `mirror ${spec.name}`, "DELETE", `/repos/${spec.name}`, { also: [404] })
      )
    )
    return hasOwner
  })

  /** The one webhook; its secret cannot be read, so it is always written. */
  const ensureHook = Effect.fnUntraced(function* (spec: MirrorSpec) {
    const path = `/repos/${spec.name}/hooks`
    const what = `webhook of ${spec.name}`
    const [hook, ...others] = (yield* GiteaApi.hooks(gitea, spec.name)).filter(
      ({ config: { url } }) => url === config.webhookUrl
    )
    const body = {
      active: true,
      branch_filter: "*",
      events,
      config: {
        url: config.webhookUrl,
        content_type: "json",
        secret: Redacted.value(webhookSecret(config.webhookSecret, spec.name))
      }
    }
    yield* Effect.forEach(
      others,
      ({ id }) => GiteaApi.send(gitea, what, "DELETE", `${path}/${id}`, { also: [404] }),
      { discard: true }
    )
    if (hook === undefined) {
      yield* GiteaApi.send(gitea, what, "POST", path, { body: { ...body, type: "gitea" } })
      return true
    }
    yield* GiteaApi.send(gitea, what, "PATCH", `${path}/${hook.id}`, { body })
    const isRight =
      hook.active &&
      sameSet(hook.events, events) &&
      ["", "*"].includes(hook.branch_filter ?? "") &&
      hook.config["content_type"] === "json"
    return !isRight || others.length > 0
  })

  /** A migration that another call began may still go on. */
  const settled = (spec: MirrorSpec) =>
    GiteaApi.repository(gitea, spec.name).pipe(
      Effect.repeat({
        schedule: Schedule.spaced("1 second").pipe(Schedule.upTo({ duration: settleTime })),
        while: (repository) => repository !== undefined && isHalfMade(repository)
      }),
      Effect.andThen(GiteaApi.repository(gitea, spec.name))
    )

  const ensure = Effect.fnUntraced(function* (spec: MirrorSpec) {
    const changes: Array<MirrorChange> = []
    let repository = yield* settled(spec)
    if (repository !== undefined && isIt(spec, repository) && isHalfMade(repository)) {
      yield* GiteaApi.send(gitea, `mirror ${spec.name}`, "DELETE", `/repos/${spec.name}`, { also: [404] })
      repository = undefined
    }
    if (repository === undefined) {
      if (!(yield* migrate(spec))) changes.push("owner")
      changes.push("repository")
      repository = yield* GiteaApi.repository(gitea, spec.name)
    }
    if (repository === undefined || !isIt(spec, repository)) {
      const detail = repository?.mirror === true ? `it mirrors ${repository.original_url}` : "it is no mirror"
      return yield* new MirrorConflict({ name: spec.name, detail })
    }
    if (repository.mirror_interval !== intervalOf(spec) || !repository.private) {
      yield* GiteaApi.send(gitea, `settings of ${spec.name}`, "PATCH", `/repos/${spec.name}`, {
        body: { mirror_interval: intervalOf(spec), private: true }
      })
      changes.push("settings")
    }
    if (yield* ensureHook(spec)) changes.push("webhook")
    return { spec, url: repository.clone_url, changes } satisfies MirrorAdded
  })

  const recorded = Effect.fnUntraced(function* (name: MirrorName) {
    return (yield* MirrorRecord.find(cluster, namespace, name)) ?? (yield* new MirrorNotFound({ name }))
  })

  return GitMirror.of({
    add: Effect.fn("GitMirror.add")(function* (spec) {
      const before = yield* MirrorRecord.find(cluster, namespace, spec.name)
      const present = yield* GiteaApi.repository(gitea, spec.name)
      if (present !== undefined && !isIt(spec, present)) {
        const detail = present.mirror
          ? `it mirrors ${present.original_url}: remove it first`
          : "it is no mirror"
        return yield* new MirrorConflict({ name: spec.name, detail })
      }
      // First, so that a call that is killed can be completed by `rebuild`.
      yield* MirrorRecord.put(cluster, namespace, spec)
      const added = yield* ensure(spec).pipe(
        // What can never be made is not to be rebuilt either.
        Effect.tapError((error) =>
          error.retryable || before !== undefined
            ? Effect.void
            : MirrorRecord.remove(cluster, namespace, spec.name)
        )
      )
      const changes: ReadonlyArray<MirrorChange> =
        before === undefined ? ["recorded", ...added.changes] : added.changes
      return { ...added, changes }
    }),
    list: Effect.gen(function* () {
      const specs = yield* MirrorRecord.list(cluster, namespace)
      return yield* Effect.forEach(
        specs,
        Effect.fnUntraced(function* (spec): Effect.fn.Return<MirrorState, GiteaApi.Failure> {
          const repository = yield* GiteaApi.repository(gitea, spec.name)
          if (repository === undefined) return { spec, state: "missing", url: undefined, syncedAt: undefined }
          return {
            spec,
            state: isIt(spec, repository) ? "mirrored" : "other",
            url: repository.clone_url,
            syncedAt: repository.mirror_updated
          }
        }),
        { concurrency }
      )
    }).pipe(Effect.withSpan("GitMirror.list")),
    remove: Effect.fn("GitMirror.remove")(function* (name) {
      const spec = yield* MirrorRecord.find(cluster, namespace, name)
      if (spec === undefined) return
      const repository = yield* GiteaApi.repository(gitea, name)
      // Another's repository of this name stays.
      if (repository !== undefined && isIt(spec, repository)) {
        yield* GiteaApi.send(gitea, `mirror ${name}`, "DELETE", `/repos/${name}`, { also: [404] })
      }
      yield* MirrorRecord.remove(cluster, namespace, name)
    }),
    sync: Effect.fn("GitMirror.sync")(function* (name) {
      yield* recorded(name)
      yield* GiteaApi.send(gitea, `sync of ${name}`, "POST", `/repos/${name}/mirror-sync`)
    }),
    rebuild: Effect.fn("GitMirror.rebuild")(function* (onMirror) {
      const specs = yield* MirrorRecord.list(cluster, namespace)
      // One that fails holds up no other; it is the failure in the end.
      const results = yield* Effect.forEach(
        specs,
        (spec) => Effect.result(Effect.tap(ensure(spec), onMirror)),
        { concurrency }
      )
      return yield* Effect.forEach(results, Effect.fromResult)
    })
  })
}

/** Fails when the cluster's configuration cannot be read. */
export const layer = (config: GiteaMirrorConfig, region: RegionConfig) =>
  Layer.effect(
    GitMirror,
    Effect.gen(function* () {
      const gitea = yield* GiteaApi.make(config.url, config.token)
      const cluster = yield* KubernetesApi.make(yield* KubeConfig.load(region))
      return make(config, gitea, cluster, yield* SecretStore)
    })
  )
