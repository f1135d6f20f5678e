/** Shows how a local region comes up: one line that is redrawn on a terminal, else a line for each event. */
import type { RegionEvent } from "@mcpdeploy/local-region/RegionEvent"
import type { Format, Output } from "./Progress.ts"

const minutes = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`

const barWidth = 30
/** Milliseconds between two plain lines about the same build. */
const plainInterval = 15_000

const text = (event: RegionEvent): string => {
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

/** A function that shows one event. `encode` makes the JSON line. */
export const makeRegionShow = (
  output: Output,
  format: Format,
  encode: (event: RegionEvent) => unknown
): ((event: RegionEvent) => void) => {
  let lastLine = 0
  let drawn = false
  return (event) => {
    if (format === "json") return output.result(`${JSON.stringify(encode(event))}\n`)
    const line = text(event)
    if (format === "plain") {
      const now = performance.now()
      if (event._tag === "ToolProgress" && now - lastLine < plainInterval) return
      if (event._tag === "ToolProgress") lastLine = now
      return output.progress(`${line}\n`)
    }
    if (drawn) output.progress("\u001b[1A\u001b[J")
    drawn = event._tag === "ToolProgress"
    if (event._tag !== "ToolProgress") return output.progress(`✓ ${line}\n`)
    const done = Math.round(event.fraction * barWidth)
    const bar = "█".repeat(done) + "░".repeat(barWidth - done)
    output.progress(`  ${bar} ${line}`.slice(0, (output.columns ?? 80) - 1).concat("\n"))
  }
}
