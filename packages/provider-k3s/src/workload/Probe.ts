/** Probe: asks an app for an answer the way its users do, through the region's ingress. */
import { ProbeFailed, type Workload } from "@mcpdeploy/core/ClusterApplier"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import type { ProbeEvidence } from "@mcpdeploy/core/domain/Receipt"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Agent, request } from "undici"
import { urlOf } from "../manifests/PlatformUrl.ts"
import { isPublic } from "../manifests/Service.ts"
import type { RegionConfig } from "../RegionConfig.ts"

/** How long one answer's head may take. */
const answerSeconds = 10

/** On an HTTP/2 connection that is reset undici 8.12 may let a request hang until its timeout. */
const dispatcher = new Agent({ allowH2: false })

/** How much of an answer stands in an error. */
const shownCharacters = 300

/** Traefik's answer for a host that it does not know (yet); a Go app's for an unknown path looks the same. */
const isNoRoute = (status: number, body: string): boolean =>
  status === 404 && body.trim() === "404 page not found"

const isAnswer = ({ run }: Workload, status: number, body: string): boolean =>
  run.healthCheck === undefined ? status < 500 && !isNoRoute(status, body) : status >= 200 && status < 400

const detailOf = (status: number, body: string): string => {
  const start = body.slice(0, shownCharacters).trim()
  return isNoRoute(status, body)
    ? `${start} (the ingress has no route to the app, or the app has no such path: then set run.healthCheck.path to one that it serves)`
    : start === ""
      ? "(an empty answer)"
      : start
}

const ask = Effect.fnUntraced(function* (workload: Workload, region: RegionConfig) {
  const { run, target } = workload
  const host = platformHost(target, region.platformDomain)
  const path = run.healthCheck?.path ?? "/"
  const url = urlOf(region, host, path)
  const started = yield* Clock.currentTimeMillis
  const answer = yield* Effect.tryPromise({
    try: async (signal) => {
      const response = await request(new URL(path, region.ingressEndpoint ?? url), {
        headers: { host, "user-agent": "mcpdeploy", accept: "*/*" },
        dispatcher,
        signal,
        headersTimeout: answerSeconds * 1000,
        bodyTimeout: answerSeconds * 1000
      })
      const head = performance.now()
      // Bounded: only its beginning is of interest.
      let body = ""
      for await (const chunk of response.body.setEncoding("utf8")) {
        body += String(chunk)
        if (body.length > shownCharacters) break
      }
      return { status: response.statusCode, body, head }
    },
    catch: (cause) =>
      new ProbeFailed({ url, detail: cause instanceof Error ? cause.message || cause.name : String(cause) })
  })
  const durationMs = (yield* Clock.currentTimeMillis) - started
  if (!isAnswer(workload, answer.status, answer.body))
    return yield* new ProbeFailed({
      url,
      status: answer.status,
      detail: detailOf(answer.status, answer.body)
    })
  return { url, status: answer.status, durationMs } satisfies ProbeEvidence
})

/**
 * The app's answer; tried again for `probeSeconds`, because the ingress hears of a new service a moment later. With a
 * health check its path must answer 200 to 399; without one, `/` must be answered by the app with anything below 500.
 */
export const probe = Effect.fn("Probe.probe")(function* (
  workload: Workload,
  region: RegionConfig
): Effect.fn.Return<ProbeEvidence | undefined, ProbeFailed> {
  if (!isPublic(workload)) return undefined
  return yield* ask(workload, region).pipe(
    Effect.retry(
      Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")]).pipe(
        Schedule.upTo({ duration: `${region.probeSeconds} seconds` })
      )
    )
  )
})
