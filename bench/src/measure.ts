/** What a benchmark prints: one line a measure, and a table with the spread. Times are in milliseconds unless said. */

import * as Schema from "effect/Schema"

/** A benchmark could not be run, or what it measured is not what it should. */
export class BenchFailed extends Schema.TaggedError<BenchFailed>()("BenchFailed", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

export interface Measure {
  readonly label: string
  readonly unit: string
  /** Runs of ours and of the peer, in pairs. */
  readonly ours: ReadonlyArray<number>
  readonly peer: ReadonlyArray<number>
}

const sorted = (values: ReadonlyArray<number>): ReadonlyArray<number> => values.toSorted((a, b) => a - b)

export const median = (values: ReadonlyArray<number>): number => {
  const ordered = sorted(values)
  const middle = ordered.length / 2
  const high = ordered[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? ((ordered[middle - 1] ?? Number.NaN) + high) / 2 : high
}

const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))

/** `LABEL ratio=R ours=… peer=… unit=…`: medians; the ratio is ours ÷ peer, so lower is better. */
export const measureLine = ({ label, ours, peer, unit }: Measure): string =>
  `${label} ratio=${(median(ours) / median(peer)).toFixed(2)} ours=${figure(median(ours))} peer=${figure(median(peer))} unit=${unit}`

const spread = (values: ReadonlyArray<number>): string => {
  const ordered = sorted(values)
  return `${figure(ordered[0] ?? Number.NaN)} … ${figure(median(values))} … ${figure(ordered.at(-1) ?? Number.NaN)}`
}

/** A Markdown table: minimum, median and maximum of both. */
export const measureTable = (measures: ReadonlyArray<Measure>): string =>
  [
    "| measure | unit | runs | ours: min … median … max | peer: min … median … max | ratio |",
    "| --- | --- | --- | --- | --- | --- |",
    ...measures.map(
      (measure) =>
        `| ${measure.label} | ${measure.unit} | ${measure.ours.length} | ${spread(measure.ours)} | ${spread(measure.peer)} | ${(median(measure.ours) / median(measure.peer)).toFixed(2)} |`
    )
  ].join("\n")
