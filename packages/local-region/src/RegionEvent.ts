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
export const ToolReady = Schema.TaggedStruct("ToolReady", { tool: Schema.String, seconds: Seconds })
export const PackagesInstalled = Schema.TaggedStruct("PackagesInstalled", {
  packages: Schema.Array(Schema.String),
  seconds: Seconds
})
export const ServerReady = Schema.TaggedStruct("ServerReady", { server: Schema.String, seconds: Seconds })
/** Images can be built and pushed from here on, though the cluster may not be there yet. */
export const BuildReady = Schema.TaggedStruct("BuildReady", { endpoints: RegionEndpoints })
/** Base images are made and pushed; `fraction` is of all of them. */
export const ImagesProgress = Schema.TaggedStruct("ImagesProgress", {
  message: Schema.String,
  fraction: Schema.Finite
})
export const RegionReady = Schema.TaggedStruct("RegionReady", {
  endpoints: RegionEndpoints,
  seconds: Seconds
})
export const RegionFailed = Schema.TaggedStruct("RegionFailed", { reason: LocalRegionReason })

export const RegionEvent = Schema.Union([
  ToolsPlanned,
  ToolProgress,
  ToolReady,
  PackagesInstalled,
  ServerReady,
  BuildReady,
  ImagesProgress,
  RegionReady,
  RegionFailed
])
export type RegionEvent = typeof RegionEvent.Type
