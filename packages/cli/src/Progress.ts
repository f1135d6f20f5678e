/**
 * Shows a deploy's events: bars on a terminal, plain lines otherwise, one JSON object a line with `--json`.
 *
 * Results go to standard output, progress to standard error, so that a result can be piped; with `--json` both go to
 * standard output. Why a step failed is said once, by the result.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { DeployEvent, type DeployStep } from "@mcpdeploy/core/domain/DeployEvent"
import { jsonLine, printable } from "./Printable.ts"

/** Where text goes. */
export interface Output {
  readonly result: (text: string) => void
  readonly progress: (text: string) => void
  /** Columns of the terminal on which progress is shown; undefined: not a terminal. */
  readonly columns: number | undefined
}

export type Format = "bars" | "plain" | "json"

/** Shows one service's events. */
export type Show = (service: string, event: DeployEvent) => Effect.Effect<void>

const encodeEvent = Schema.encodeSync(DeployEvent)
const barWidth = 20
/** Lines of a failed step's output that are shown where logs are not. */
const keptLines = 30

/** The display of a deploy, in its scope: when that closes, what was drawn is finished properly. */
export const makeShow = (
  output: Output,
  format: Format,
  verbose: boolean
): Effect.Effect<Show, never, Scope.Scope> => {
  switch (format) {
    case "json":
      return Effect.succeed((service, event) =>
        Effect.sync(() => output.result(`${jsonLine({ service, ...encodeEvent(event) })}\n`))
      )
    case "plain":
      return Effect.succeed(plain(output, verbose))
    case "bars":
      return Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => new Bars(output, verbose)),
          (bars) => Effect.sync(() => bars.clear())
        ),
        (bars) => (service, event) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => bars.show(service, event, now)))
      )
  }
}

const plain = (output: Output, verbose: boolean): Show => {
  const kept = new KeptLines()
  return (service, event) =>
    Effect.sync(() => {
      switch (event._tag) {
        case "StepStarted":
          return output.progress(`${service} ${event.step} …\n`)
        case "StepLog":
          if (verbose) return output.progress(`${service} ${event.step} | ${printable(event.line)}\n`)
          return kept.add(service, event.line)
        case "StepProgress":
          return event.step === "build"
            ? undefined
            : output.progress(`${service} ${event.step}: ${printable(event.message)}\n`)
        case "StepFinished":
          kept.forget(service)
          return output.progress(
            `${service} ${event.step} done in ${seconds(event.durationMs)}: ${printable(event.summary)}\n`
          )
        case "StepFailed":
          output.progress(kept.take(service))
          return output.progress(`${service} ${event.step} FAILED after ${seconds(event.durationMs)}\n`)
      }
    })
}

/** The last lines of each service's running step. */
class KeptLines {
  readonly #lines = new Map<string, Array<string>>()

  add(service: string, line: string): void {
    const lines = this.#lines.get(service) ?? []
    lines.push(line)
    if (lines.length > keptLines) lines.shift()
    this.#lines.set(service, lines)
  }
  forget(service: string): void {
    this.#lines.delete(service)
  }
  take(service: string): string {
    const lines = this.#lines.get(service) ?? []
    this.#lines.delete(service)
    return lines.map((line) => `    | ${printable(line)}\n`).join("")
  }
}

interface Bar {
  readonly step: DeployStep
  readonly startedAt: number
  readonly fraction: number | undefined
  readonly message: string
}

/** One line for each service that is under way, redrawn in place; what has ended scrolls up as plain lines. */
class Bars {
  readonly #output: Output
  readonly #verbose: boolean
  readonly #bars = new Map<string, Bar>()
  readonly #kept = new KeptLines()
  #drawn = 0
  #drawnAt = 0

  constructor(output: Output, verbose: boolean) {
    this.#output = output
    this.#verbose = verbose
  }

  show(service: string, event: DeployEvent, now: number): void {
    const bar = this.#bars.get(service)
    switch (event._tag) {
      case "StepStarted":
        this.#bars.set(service, { step: event.step, startedAt: now, fraction: undefined, message: "" })
        return this.#draw(now, true)
      case "StepProgress":
        if (bar !== undefined)
          this.#bars.set(service, { ...bar, fraction: event.fraction, message: event.message })
        return this.#draw(now, false)
      case "StepLog":
        if (this.#verbose) return this.#scroll(`${service} ${event.step} | ${printable(event.line)}\n`, now)
        this.#kept.add(service, event.line)
        if (bar !== undefined && bar.fraction === undefined) {
          this.#bars.set(service, { ...bar, message: event.line })
        }
        return this.#draw(now, false)
      case "StepFinished":
        this.#bars.delete(service)
        this.#kept.forget(service)
        return this.#scroll(
          `✓ ${service} ${event.step.padEnd(7)} ${seconds(event.durationMs).padStart(7)}  ${printable(event.summary)}\n`,
          now
        )
      case "StepFailed":
        this.#bars.delete(service)
        return this.#scroll(
          `${this.#kept.take(service)}✗ ${service} ${event.step.padEnd(7)} ${seconds(event.durationMs).padStart(7)}  failed\n`,
          now
        )
    }
  }

  clear(): void {
    if (this.#drawn > 0) this.#output.progress(`\u001b[${this.#drawn}A\u001b[J`)
    this.#drawn = 0
  }

  #scroll(text: string, now: number): void {
    this.clear()
    this.#output.progress(text)
    this.#draw(now, true)
  }

  #draw(now: number, always: boolean): void {
    if (!always && now - this.#drawnAt < 100) return
    this.#drawnAt = now
    this.clear()
    const columns = this.#output.columns ?? 80
    for (const [service, { fraction, message, startedAt, step }] of this.#bars) {
      const done = Math.round((fraction ?? 0) * barWidth)
      const bar =
        fraction === undefined ? "·".repeat(barWidth) : "█".repeat(done) + "░".repeat(barWidth - done)
      const line = `  ${service} ${step.padEnd(7)} ${bar} ${seconds(now - startedAt).padStart(7)}  ${printable(message)}`
      this.#output.progress(`${line.slice(0, columns - 1)}\n`)
    }
    this.#drawn = this.#bars.size
  }
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
