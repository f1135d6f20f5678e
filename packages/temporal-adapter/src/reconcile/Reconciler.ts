/**
 * Reconciler: finds pushes whose webhook was lost, by comparing branches with what was pushed and deployed; and has previews
 * removed whose branch is gone or whose time is over.
 *
 * A repository is asked once for all its services, a host a few times a second at most. A host that does not answer, or
 * answers that it is asked too often (429), is left alone for the rest of the round, and then for twice as long each
 * time.
 */
import { DeployRequest, Generation } from "@mcpdeploy/core/domain/DeployRequest"
import type { Receipt } from "@mcpdeploy/core/domain/Receipt"
import type { CommitSha, GitRepository } from "@mcpdeploy/core/domain/Source"
import { GitSource } from "@mcpdeploy/core/GitSource"
import { isExpired } from "@mcpdeploy/core/pipeline/Preview"
import { filterPush } from "@mcpdeploy/core/pipeline/PushFilter"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import { contractVersion, type Push } from "@mcpdeploy/temporal-contract/contract"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { decide } from "./Decide.ts"
import { PushQueue } from "./PushQueue.ts"

/** What a round did. */
export const ReconcileReport = Schema.Struct({
  services: Schema.Int,
  repositories: Schema.Int,
  /** Keys of the services for which a push was submitted. */
  submitted: Schema.Array(Schema.String),
  /** Of these, the services whose lost push deploys nothing: `[skip ci]`, or none of their paths changed. */
  filtered: Schema.Array(Schema.String),
  /** Keys of the previews whose removal was begun. */
  removed: Schema.Array(Schema.String),
  /** What could not be compared, and why. */
  failures: Schema.Array(Schema.Struct({ about: Schema.String, message: Schema.String })),
  /** Hosts that are left alone for now. */
  resting: Schema.Array(Schema.String)
})
export type ReconcileReport = typeof ReconcileReport.Type

/** Whose services, and how gently hosts are asked. */
export interface ReconcilerConfig {
  /** Questions to one host are at least this far apart; 200 when absent. */
  readonly spacingMs?: number
  /** How long a host rests after its first failure; 60,000 when absent. */
  readonly restMs?: number
  /** Whose services are compared; everybody's when absent. For a worker that shares its region with others. */
  readonly users?: ReadonlySet<string>
}

const encodeRequest = Schema.encodeEffect(DeployRequest)

const defaultSpacingMs = 200
const defaultRestMs = 60_000
const longestRestMs = 3_600_000

interface Rest {
  readonly until: number
  readonly ms: number
}

const nothing: Pick<ReconcileReport, "failures" | "filtered" | "removed" | "submitted"> = {
  submitted: [],
  filtered: [],
  removed: [],
  failures: []
}

/** The services that can be compared by one question. */
interface Group {
  readonly repository: GitRepository
  readonly host: string
  readonly requests: Array<DeployRequest>
}

/** The full name under which a branch is listed; undefined for a tag or a commit, which do not move. */
const branchOf = (ref: string): string | undefined => {
  if (ref === "HEAD" || ref.startsWith("refs/heads/")) return ref
  return ref.startsWith("refs/") || /^[0-9a-f]{40}$/.test(ref) ? undefined : `refs/heads/${ref}`
}

const grouped = (requests: ReadonlyArray<DeployRequest>): ReadonlyArray<Group> => {
  const groups = new Map<string, Group>()
  for (const request of requests) {
    const { repository } = request.source
    const key = JSON.stringify([repository.url.toLowerCase().replace(/\.git$/, ""), repository.credentials])
    const group = groups.get(key) ?? { repository, host: new URL(repository.url).host, requests: [] }
    group.requests.push(request)
    groups.set(key, group)
  }
  return [...groups.values()]
}

/** Finds what no push brought, and what is to end by itself. */
export class Reconciler extends Context.Service<
  Reconciler,
  {
    /** One round over all services. A failure about one of them stops no other. */
    readonly reconcile: Effect.Effect<ReconcileReport>
  }
>()("mcpdeploy/temporal-adapter/reconcile/Reconciler") {
  static readonly layer = (
    config: ReconcilerConfig = {}
  ): Layer.Layer<Reconciler, never, Receipts | GitSource | PushQueue | ServiceCatalog> =>
    Layer.effect(Reconciler, make(config))
}

const make = Effect.fnUntraced(function* ({
  restMs = defaultRestMs,
  spacingMs = defaultSpacingMs,
  users
}: ReconcilerConfig) {
  const catalog = yield* ServiceCatalog
  const proven = yield* Receipts
  const git = yield* GitSource
  const queue = yield* PushQueue
  const rests = new Map<string, Rest>()

  /** Why a push that was lost deploys nothing. A host that does not say what is in it (any more) filters nothing. */
  const filterOf = (request: DeployRequest, head: CommitSha, receipts: ReadonlyArray<Receipt>) => {
    const { source, target } = request
    const deployed = receipts.find(({ rollback }) => rollback !== true)
    return git.changes(source.repository, deployed?.commit, head).pipe(
      Effect.map((changes) => filterPush(request, changes)),
      Effect.catch((error) =>
        Effect.as(Effect.logWarning(`deploying ${target} unfiltered: ${error.message}`), undefined)
      )
    )
  }

  /** What was submitted for the service. */
  const compare = Effect.fnUntraced(function* (request: DeployRequest, head: CommitSha, askedAt: number) {
    const { target } = request
    // Who is under way is asked first: what has ended by then has its receipt.
    const underWay = yield* catalog.underWay(target.owner)
    const isUnderWay = underWay.some(
      ({ generation, service }) => service === target.service && generation === request.generation
    )
    const [receipts, records] = yield* Effect.all([proven.history(target), queue.records(target)], {
      concurrency: "unbounded"
    })
    const decision = decide({ head, askedAt, request, isUnderWay, receipts, records })
    if (decision._tag === "UpToDate") return undefined
    // A push that is tried again has passed the filters.
    const filtered = decision.receivedAt === undefined ? yield* filterOf(request, head, receipts) : undefined
    const generation = Generation.make(askedAt)
    const push: Push = {
      version: contractVersion,
      deliveryId: `reconcile-${head}-${askedAt}`,
      generation,
      commit: head,
      origin: "reconcile",
      receivedAt: decision.receivedAt ?? DateTime.formatIso(yield* DateTime.now),
      action:
        filtered === undefined
          ? {
              _tag: "Deploy",
              request: yield* Effect.orDie(encodeRequest(new DeployRequest({ ...request, generation })))
            }
          : { _tag: "Filtered", ...filtered }
    }
    yield* queue.submit(target, push)
    return push.action._tag
  })

  const remove = ({ target }: DeployRequest): Effect.Effect<typeof nothing> =>
    queue.remove(target).pipe(
      Effect.as({ ...nothing, removed: [target.key] }),
      Effect.catch(({ message }) =>
        Effect.succeed({ ...nothing, failures: [{ about: target.key, message }] })
      )
    )

  const compareGroup = Effect.fnUntraced(function* ({ repository, requests }: Group) {
    const askedAt = yield* Clock.currentTimeMillis
    const heads = yield* git.branches(repository)
    return yield* Effect.forEach(requests, (request): Effect.Effect<typeof nothing> => {
      const head = heads.get(branchOf(request.source.ref) ?? "")
      const { key } = request.target
      // A repository that lists nothing at all was emptied, or is being made anew: that removes nothing.
      if (head === undefined && request.preview !== undefined && heads.size > 0) return remove(request)
      const submitted = head === undefined ? Effect.undefined : compare(request, head, askedAt)
      return submitted.pipe(
        Effect.map((action) => ({
          ...nothing,
          submitted: action === undefined ? [] : [key],
          filtered: action === "Filtered" ? [key] : []
        })),
        Effect.catch(({ message }) => Effect.succeed({ ...nothing, failures: [{ about: key, message }] }))
      )
    })
  })

  /** The groups of one host, one after the other, until it fails. */
  const compareHost = Effect.fnUntraced(function* (host: string, groups: ReadonlyArray<Group>) {
    const found: Array<typeof nothing> = []
    const rest = rests.get(host)
    if (rest !== undefined && rest.until > (yield* Clock.currentTimeMillis)) return found
    for (const group of groups) {
      const isLast = yield* compareGroup(group).pipe(
        Effect.map((results) => {
          found.push(...results)
          rests.delete(host)
          return false
        }),
        Effect.catch(
          Effect.fnUntraced(function* ({ message, retryable }) {
            found.push({ ...nothing, failures: [{ about: group.repository.url, message }] })
            if (!retryable) return false
            const ms = Math.min(rest === undefined ? restMs : rest.ms * 2, longestRestMs)
            rests.set(host, { ms, until: (yield* Clock.currentTimeMillis) + ms })
            return true
          })
        )
      )
      if (isLast) break
      yield* Effect.sleep(spacingMs)
    }
    return found
  })

  const reconcile = Effect.gen(function* () {
    const all = (yield* catalog.all).filter(({ owner }) => users === undefined || users.has(owner.user))
    const begun = yield* Clock.currentTimeMillis
    const isOver = (request: DeployRequest) => isExpired(request, begun)
    const over = yield* Effect.forEach(all.filter(isOver), remove)
    const requests = all.filter(
      (request) =>
        !isOver(request) && request.trigger?.enabled !== false && branchOf(request.source.ref) !== undefined
    )
    const groups = grouped(requests)
    const byHost = Map.groupBy(groups, ({ host }) => host)
    const found = yield* Effect.forEach([...byHost], ([host, ofHost]) => compareHost(host, ofHost), {
      concurrency: "unbounded"
    })
    const now = yield* Clock.currentTimeMillis
    const results = [...over, ...found.flat()]
    return {
      services: requests.length,
      repositories: groups.length,
      submitted: results.flatMap(({ submitted }) => submitted),
      filtered: results.flatMap(({ filtered }) => filtered),
      removed: results.flatMap(({ removed }) => removed),
      failures: results.flatMap(({ failures }) => failures),
      resting: [...rests].filter(([, { until }]) => until > now).map(([host]) => host)
    }
  }).pipe(
    Effect.catch(({ message }) =>
      Effect.succeed({
        ...nothing,
        services: 0,
        repositories: 0,
        failures: [{ about: "the catalog", message }],
        resting: []
      })
    ),
    Effect.withSpan("Reconciler.reconcile")
  )
  return Reconciler.of({ reconcile })
})
