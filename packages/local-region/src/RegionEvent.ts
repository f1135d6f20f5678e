/** What happens while a region comes up, in order, for progress bars, plain lines and `--json`. */
import * as Schema from "effect/Schema"
import { LocalRegionReason } from "./LocalRegionError.ts"
import { RegionEndpoints } from "./RegionState.ts"

const Seconds = Schema.Finite

/** Once, first: what there is and what has to be built. `estimateSeconds` is for two idle cores. */
export const ToolsPlanned = Schema.TaggedStruct("ToolsPlanned", {
  ready: Schema.Array(Schema.String),
  build: Schema.Array(Schema.String),
  install: Schema.Array(Schema.String),
  estimateSeconds: Seconds
})
/** A tool's build goes on; `fraction` and `remainingSeconds` are of all builds together. */
export const ToolProgress = Schema.TaggedStruct("ToolProgress", {
  tool: Schema.String,
  message: Schema.String,
  fraction: Schema.Finite,
  elapsedSeconds: Seconds,
  remainingSeconds: Seconds
})
/** A tool is built. */
export const ToolReady = Schema.TaggedStruct("ToolReady", { tool: Schema.String, seconds: Seconds })
/** Debian's packages that were missing are installed. */
export const PackagesInstalled = Schema.TaggedStruct("PackagesInstalled", {
  packages: Schema.Array(Schema.String),
  seconds: Seconds
})
/** A server answers. */
export const ServerReady = Schema.TaggedStruct("ServerReady", { server: Schema.String, seconds: Seconds })
/** A region that is up ends, to start again with all it is to have; `missing` are the optional parts that it lacked. */
export const RegionRestarting = Schema.TaggedStruct("RegionRestarting", {
  missing: Schema.Array(Schema.String)
})
/** Images can be built and pushed from here on, though the cluster may not be there yet. */
export const BuildReady = Schema.TaggedStruct("BuildReady", { endpoints: RegionEndpoints })
/** Base images are made and pushed; `fraction` is of all of them. */
export const ImagesProgress = Schema.TaggedStruct("ImagesProgress", {
  message: Schema.String,
  fraction: Schema.Finite
})
/** The region is up. */
export const RegionReady = Schema.TaggedStruct("RegionReady", {
  endpoints: RegionEndpoints,
  seconds: Seconds
})
/** The region did not come up, or has ended. */
export const RegionFailed = Schema.TaggedStruct("RegionFailed", { reason: LocalRegionReason })

/** What happens while a region comes up. */
export const RegionEvent = Schema.Union([
  ToolsPlanned,
  ToolProgress,
  ToolReady,
  PackagesInstalled,
  ServerReady,
  RegionRestarting,
  BuildReady,
  ImagesProgress,
  RegionReady,
  RegionFailed
])
export type RegionEvent = typeof RegionEvent.Type

const minutes = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`

/** The event in words, one line without an end, for every display. */
export const describe = (event: RegionEvent): string => {
  switch (event._tag) {
    case "ToolsPlanned": {
      const { build, estimateSeconds, install } = event
      if (build.length + install.length === 0) return "all programs are there"
      return [
        ...(install.length === 0 ? [] : [`to install: ${install.join(", ")}`]),
        ...(build.length === 0
          ? []
          : [`to compile once: ${build.join(", ")}, about ${minutes(estimateSeconds)} on two idle cores`])
      ].join("; ")
    }
    case "ToolProgress":
      return `${Math.round(event.fraction * 100)}% compiled after ${minutes(event.elapsedSeconds)}, about ${minutes(event.remainingSeconds)} left: ${event.tool} ${event.message}`
    case "ToolReady":
      return `${event.tool} compiled in ${minutes(event.seconds)}`
    case "PackagesInstalled":
      return `${event.packages.join(", ")} installed in ${event.seconds.toFixed(1)} s`
    case "ServerReady":
      return `${event.server} ready after ${event.seconds.toFixed(1)} s`
    case "RegionRestarting":
      return event.missing.length === 0
        ? "the region is started anew: it does not answer, or runs other programs than these"
        : `the region is started anew, with ${event.missing.join(" and ")}; its data stays`
    case "BuildReady":
      return "images can be built from here on"
    case "ImagesProgress":
      return `base images ${Math.round(event.fraction * 100)}%: ${event.message}`
    case "RegionReady":
      return `the region is up after ${event.seconds.toFixed(1)} s`
    case "RegionFailed":
      return event.reason.message
  }
}
