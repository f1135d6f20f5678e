/**
 * Deliveries: what becomes of a webhook, from its bytes to its answer. Keeps no state: which deliveries have been taken is
 * known to the services' workflows, by the delivery's id, for all replicas and over restarts.
 */
import type { FilterRule, Push } from "@mcpdeploy/temporal-contract/contract"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { Ancestry } from "./Ancestry.ts"
import { ignored, refused, type Reply, unavailable } from "./Answer.ts"
import { type Decision, decide } from "./Decision.ts"
import type { Delivery, Forge } from "./Forge.ts"
import { decodeEvent, type DeleteEvent, type PushEvent } from "./ForgeEvent.ts"
import { arrivals, generationOf } from "./Generation.ts"
import { PushSink, type SinkUnavailable } from "./PushSink.ts"
import { RecentlyDone } from "./RecentlyDone.ts"
import { type IndexedService, normalUrl, RepositoryIndex } from "./RepositoryIndex.ts"
import { namesIn, normalName } from "./RepositoryName.ts"
import { isSigned } from "./Signature.ts"
import { WebhookSecrets } from "./WebhookSecrets.ts"

/** Where the forges are, and how much may wait. */
export interface DeliveriesConfig {
  /** Where the repositories of each forge are: a repository's URL is one of these, "/" and its name. */
  readonly urls: Readonly<Record<Forge, ReadonlyArray<string>>>
  /** Deliveries that may wait for Temporal at once. */
  readonly maxInFlight: number
}

const deliveryId = /^[\w-]{1,64}$/
const retryAfterSeconds = { busy: 5, sink: 30 }
/** Services of one repository whose pushes are stored at once. */
const concurrency = 32

interface Decided {
  readonly service: IndexedService
  readonly decision: Decision
}

type Submission = readonly [IndexedService["target"], Omit<Push, "version">]

const counted = (decided: ReadonlyArray<Decided>): Partial<Record<FilterRule, number>> => {
  const rules: Partial<Record<FilterRule, number>> = {}
  for (const { decision } of decided) {
    if (decision._tag === "Filtered") rules[decision.rule] = (rules[decision.rule] ?? 0) + 1
  }
  return rules
}

const replyTo = (decided: ReadonlyArray<Decided>): Reply => {
  const deploys = decided.filter(({ decision }) => decision._tag === "Deploy").length
  const filtered = counted(decided)
  return deploys > 0
    ? { status: 202, answer: { outcome: "accepted", reason: "it is being deployed", deploys, filtered } }
    : {
        status: 200,
        answer: {
          outcome: "filtered",
          reason: `by rule ${Object.keys(filtered).join(", ")}`,
          deploys,
          filtered
        }
      }
}

/** A webhook delivery, from its bytes to its answer. */
export class Deliveries extends Context.Service<
  Deliveries,
  {
    /** Never fails: what goes wrong is an answer too. Takes as long as the sink may take. */
    readonly receive: (delivery: Delivery) => Effect.Effect<Reply>
    /** Deliveries that wait for Temporal. */
    readonly inFlight: () => number
  }
>()("mcpdeploy/server/Deliveries") {
  static readonly layer = (
    config: DeliveriesConfig
  ): Layer.Layer<Deliveries, never, Ancestry | PushSink | RepositoryIndex | WebhookSecrets> =>
    Layer.effect(Deliveries, make(config))
}

const make = Effect.fnUntraced(function* ({ maxInFlight, urls }: DeliveriesConfig) {
  const secrets = yield* WebhookSecrets
  const index = yield* RepositoryIndex
  const sink = yield* PushSink
  const ancestry = yield* Ancestry
  const arrival = arrivals()
  const stored = new RecentlyDone<void, SinkUnavailable>()
  let inFlight = 0

  const basesOf = (forge: Forge): ReadonlyArray<string> => [...new Set(urls[forge].map(normalUrl))]
  const bases = { github: basesOf("github"), gitea: basesOf("gitea") }
  const servicesOf = (forge: Forge, name: string): ReadonlyArray<IndexedService> => {
    const found = bases[forge].map((base) => index.servicesOf(`${base}/${name}`))
    return found.length === 1 ? (found[0] ?? []) : found.flat()
  }

  const isSignedFor = ({ body, forge, signature }: Delivery, name: string): boolean =>
    isSigned(forge, signature, body, secrets.keysOf(forge, name))

  /** A repository with whose secret it is signed. */
  const signerOf = (delivery: Delivery): string | undefined => {
    if (delivery.signature === undefined) return undefined
    for (const name of namesIn(delivery.body)) if (isSignedFor(delivery, name)) return name
    return undefined
  }

  /** What the event alone says. */
  const decideAll = (event: PushEvent | DeleteEvent, services: ReadonlyArray<IndexedService>) =>
    services.map((service): Decided => ({ service, decision: decide(event, service.request) }))

  /** Those that hold only where no commit was thrown away deploy where that is not known. */
  const settle = (forge: Forge, event: PushEvent | DeleteEvent, decided: ReadonlyArray<Decided>) => {
    const isUnsure = ({ decision }: Decided) => decision._tag === "Filtered" && decision.unlessForced === true
    if (event._tag === "Delete" || forge === "github" || !decided.some(isUnsure)) return undefined
    return Effect.map(ancestry.isForward(event.repository, event.before, event.after), (isForward) =>
      isForward
        ? decided
        : decided.map((each): Decided => (isUnsure(each) ? { ...each, decision: { _tag: "Deploy" } } : each))
    )
  }

  const submissionOf = (
    { forge, id = "" }: Delivery,
    event: PushEvent | DeleteEvent,
    receivedAt: number,
    { decision, service: { encoded, target } }: Decided
  ): Submission => {
    const common = {
      deliveryId: id,
      origin: forge,
      receivedAt: new Date(receivedAt).toISOString(),
      ...(event._tag === "Push" ? { commit: event.after } : {})
    }
    if (decision._tag === "Filtered") {
      const { detail, rule } = decision
      return [target, { ...common, generation: receivedAt, action: { _tag: "Filtered", rule, detail } }]
    }
    const generation = generationOf(receivedAt, event._tag === "Push" ? event.pushedAt : undefined)
    return [
      target,
      { ...common, generation, action: { _tag: "Deploy", request: { ...encoded, generation } } }
    ]
  }

  /** Stores all of them. Deliveries with the same id and body at once are stored once. */
  const store = ({ id = "", signature = "" }: Delivery, submissions: ReadonlyArray<Submission>) => {
    const deferred = Deferred.makeUnsafe<void, SinkUnavailable>()
    const key = `${id} ${signature}`
    const running = stored.begin(key, deferred)
    if (running !== undefined) return Deferred.await(running)
    inFlight++
    const [only] = submissions
    const all =
      only !== undefined && submissions.length === 1
        ? sink.submit(...only)
        : Effect.forEach(submissions, ([target, push]) => sink.submit(target, push), {
            concurrency,
            discard: true
          })
    return all.pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          inFlight--
          stored.end(key, exit._tag === "Success")
          Deferred.doneUnsafe(deferred, exit)
        })
      )
    )
  }

  const log = (delivery: Delivery, event: PushEvent | DeleteEvent, decided: ReadonlyArray<Decided>) =>
    Effect.logInfo("a push was taken", {
      forge: delivery.forge,
      delivery: delivery.id,
      repository: event.repository,
      ref: event.ref,
      ...(event._tag === "Push" ? { commit: event.after } : {}),
      services: decided.map(
        ({ decision, service: { request } }) =>
          `${request.target.key} ${decision._tag === "Deploy" ? "deploys" : `filtered by ${decision.rule}`}`
      )
    })

  const take = (
    delivery: Delivery,
    event: PushEvent | DeleteEvent,
    services: ReadonlyArray<IndexedService>
  ): Effect.Effect<Reply, SinkUnavailable> => {
    const receivedAt = arrival(Date.now())
    const storeAll = (decided: ReadonlyArray<Decided>) =>
      store(
        delivery,
        decided.map((each) => submissionOf(delivery, event, receivedAt, each))
      ).pipe(
        Effect.andThen(log(delivery, event, decided)),
        Effect.map(() => replyTo(decided))
      )
    const decided = decideAll(event, services)
    const settled = settle(delivery.forge, event, decided)
    return settled === undefined ? storeAll(decided) : Effect.flatMap(settled, storeAll)
  }

  const receive = (delivery: Delivery): Effect.Effect<Reply> => {
    const { forge, id } = delivery
    const signer = signerOf(delivery)
    if (signer === undefined) {
      return Effect.succeed(refused(401, "no secret of the repository that it names has made its signature"))
    }
    const decoded = decodeEvent(delivery)
    if (Result.isFailure(decoded)) return Effect.succeed(refused(400, decoded.failure))
    const event = decoded.success
    const name = normalName(event.repository)
    if (name !== signer && !isSignedFor(delivery, name)) {
      return Effect.succeed(refused(401, "it is signed with another repository's secret"))
    }
    if (event._tag === "Other") return Effect.succeed(ignored(`the event ${event.event} deploys nothing`))
    if (id === undefined || !deliveryId.test(id)) {
      return Effect.succeed(refused(400, "it has no delivery id, or one that is none"))
    }
    if (!index.isLoaded()) {
      return Effect.succeed(unavailable("the services are not known yet", retryAfterSeconds.busy))
    }
    const services = servicesOf(forge, name)
    if (services.length === 0) return Effect.succeed(ignored("no service is deployed from this repository"))
    if (inFlight >= maxInFlight) {
      return Effect.succeed(unavailable("too many deliveries wait", retryAfterSeconds.busy))
    }
    return take(delivery, event, services).pipe(
      Effect.catch((error) =>
        Effect.as(
          Effect.logWarning(error.message, { forge, delivery: id }),
          unavailable("Temporal does not answer", retryAfterSeconds.sink)
        )
      )
    )
  }
  return Deliveries.of({
    receive: (delivery) => Effect.suspend(() => receive(delivery)),
    inFlight: () => inFlight
  })
})
