/** Shows how a local region comes up: one line that is redrawn on a terminal, else a line for each event. */
import { describe, type RegionEvent } from "@mcpdeploy/local-region/RegionEvent"
import type { Format, Output } from "./Progress.ts"

const barWidth = 30
/** Milliseconds between two plain lines about the same build. */
const plainInterval = 15_000

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
    const line = describe(event)
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
