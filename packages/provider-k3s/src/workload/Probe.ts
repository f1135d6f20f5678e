/** Probe: asks an app for an answer the way its users do, through the region's ingress. */
import { ProbeFailed, type Workload } from "@mcpdeploy/core/ClusterApplier"
import { type PlatformDomain, platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import type { ProbeEvidence } from "@mcpdeploy/core/domain/Receipt"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Agent, type Dispatcher, request } from "undici"
import { urlOf } from "../manifests/PlatformUrl.ts"
import { isPublic } from "../manifests/Service.ts"
import type { RegionConfig } from "../RegionConfig.ts"
import { firstLine } from "./FirstLine.ts"

/** How long one answer's head may take. */
const answerSeconds = 10

/** On an HTTP/2 connection that is reset undici 8.12 may let a request hang until its timeout. */
const dispatcher = new Agent({ allowH2: false })

/** How much of a refusal's body is read, and for how long: the head has said what matters. */
const shownCharacters = 300
const bodySeconds = 1

/**
 * Stands in what the region's ingress itself answers for a host without a route, and in nothing that an app answers:
 * Traefik's own words are those of every Go app for an unknown path. Set by the ingress's configuration.
 */
export const noRouteHeader = "x-mcpdeploy-no-route"

/** No service has this host: the platform's own names end in a hash. */
const unknownHost = (domain: PlatformDomain): string => `no-such-service.${domain}`

interface Answer {
  readonly status: number
  readonly hasNoRoute: boolean
  /** Milliseconds from the request to the answer's head. */
  readonly durationMs: number
  /** The beginning of a refusal's body; empty for a success, whose body may be a stream that never ends. */
  readonly body: string
  readonly contentType: string
}

const headerOf = ({ headers }: Dispatcher.ResponseData, name: string): string => {
  const value = headers[name]
  return Array.isArray(value) ? value.join(", ") : (value ?? "")
}

const said = (cause: unknown): string =>
  cause instanceof Error ? cause.message || cause.name : String(cause)

/** What of a body comes in a moment. That it breaks off or goes on is no matter. */
const beginning = ({ body }: Dispatcher.ResponseData): Effect.Effect<string> =>
  Effect.suspend(() => {
    let text = ""
    return Stream.fromAsyncIterable(body.setEncoding("utf8"), said).pipe(
      Stream.takeUntil((chunk) => (text += String(chunk)).length > shownCharacters),
      Stream.runDrain,
      Effect.timeoutOption(`${bodySeconds} seconds`),
      Effect.ignore,
      Effect.andThen(Effect.sync(() => text.slice(0, shownCharacters)))
    )
  })

/** One request and the head of its answer, in a time of its own. */
const ask = Effect.fnUntraced(function* (region: RegionConfig, host: string, path: string) {
  const url = urlOf(region, host, path)
  const started = yield* Clock.currentTimeMillis
  const response = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: (signal) =>
        request(new URL(path, region.ingressEndpoint ?? url), {
          headers: { host, "user-agent": "mcpdeploy", accept: "*/*" },
          dispatcher,
          signal,
          headersTimeout: 0,
          bodyTimeout: 0
        }),
      catch: (cause) => new ProbeFailed({ url, detail: said(cause) })
    }),
    // Closes the connection of a body that has not ended.
    ({ body }) => Effect.sync(() => body.on("error", () => undefined).destroy()),
    { interruptible: true }
  ).pipe(
    Effect.timeoutOrElse({
      duration: `${answerSeconds} seconds`,
      orElse: () => new ProbeFailed({ url, detail: `no answer has begun within ${answerSeconds} seconds` })
    })
  )
  const status = response.statusCode
  return {
    status,
    hasNoRoute: headerOf(response, noRouteHeader) !== "",
    durationMs: (yield* Clock.currentTimeMillis) - started,
    body: status < 400 ? "" : yield* beginning(response),
    contentType: headerOf(response, "content-type")
  } satisfies Answer
}, Effect.scoped)

/**
 * Whether a 404 is the ingress's own. An ingress that does not mark its own is asked for a host that no service has: what it
 * answers there cannot be told from an app that answers the same.
 */
const isNoRoute = Effect.fnUntraced(function* (region: RegionConfig, answer: Answer) {
  if (answer.hasNoRoute) return true
  if (answer.status !== 404) return false
  const own = yield* ask(region, unknownHost(region.platformDomain), "/")
  return !own.hasNoRoute && own.status === answer.status && own.body === answer.body
})

const noRoute =
  "(the ingress has no route to the app, or does not mark its own answers and the app has no such path: then set run.healthCheck.path to one that it serves)"

/** Traefik's words where it cannot make sense of what the app answers it: the status' own, and nothing else. */
const gatewayWords = new Map([
  [500, "Internal Server Error"],
  [502, "Bad Gateway"]
])

/** A pod is ready as soon as its port is open, whatever is spoken there. */
const protocolHint = ({ run }: Workload, { body, status }: Answer): string | undefined =>
  run.protocol !== "h2c" && gatewayWords.get(status) === body.trim()
    ? "(it may be the ingress that says so, because the app does not speak HTTP/1.1: for gRPC and other HTTP/2 without TLS set run.protocol: h2c)"
    : undefined

/** What of a good answer its author should know: each visitor is refused. */
const warningOf = ({ run }: Workload, url: string, answer: Answer): string | undefined => {
  if (answer.status < 400 || run.protocol === "h2c") return undefined
  const line = firstLine(answer.body, answer.contentType)
  return `whoever asks ${url} gets ${answer.status}${line === "" ? "" : `: ${line}`}`
}

const attempt = Effect.fnUntraced(function* (
  workload: Workload,
  region: RegionConfig
): Effect.fn.Return<ProbeEvidence, ProbeFailed> {
  const { run, target } = workload
  const host = platformHost(target, region.platformDomain)
  const path = run.healthCheck?.path
  const url = urlOf(region, host, path ?? "/")
  const answer = yield* ask(region, host, path ?? "/")
  const { body, durationMs, status } = answer
  const isWell = path === undefined ? status < 500 : status >= 200 && status < 400
  const hasNoRoute = yield* isNoRoute(region, answer)
  if (!isWell || hasNoRoute) {
    const start = body.trim() === "" ? "(an empty answer)" : body.trim()
    const why = hasNoRoute ? noRoute : protocolHint(workload, answer)
    return yield* new ProbeFailed({ url, status, detail: why === undefined ? start : `${start} ${why}` })
  }
  const warning = warningOf(workload, url, answer)
  return { url, status, durationMs, ...(warning === undefined ? {} : { warning }) }
})

/**
 * The app's answer; tried again for `probeSeconds`, because the ingress hears of a new service a moment later. With a
 * path to check, it must answer 200 to 399; without one, `/` must be answered by the app with anything below 500. The
 * head is the answer: what follows may be a stream.
 */
export const probe = Effect.fn("Probe.probe")(function* (
  workload: Workload,
  region: RegionConfig
): Effect.fn.Return<ProbeEvidence | undefined, ProbeFailed> {
  if (!isPublic(workload)) return undefined
  const { probeSeconds } = region
  let last: ProbeFailed | undefined
  return yield* attempt(workload, region).pipe(
    Effect.tapError((failure) => Effect.sync(() => void (last = failure))),
    Effect.retry(Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")])),
    Effect.timeoutOrElse({
      duration: `${probeSeconds} seconds`,
      orElse: () =>
        last ??
        new ProbeFailed({
          url: urlOf(region, platformHost(workload.target, region.platformDomain), "/"),
          detail: `no answer has begun within ${probeSeconds} seconds`
        })
    })
  )
})
