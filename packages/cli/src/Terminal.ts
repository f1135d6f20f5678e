/** The process's own output. */
import type { Format, Output } from "./Progress.ts"

export const terminal: Output = {
  result: (text) => process.stdout.write(text),
  progress: (text) => process.stderr.write(text),
  columns: process.stderr.isTTY ? process.stderr.columns : undefined
}

/** How progress is shown: bars on a terminal, plain lines otherwise. */
export const formatOf = (json: boolean): Format =>
  json ? "json" : terminal.columns === undefined ? "plain" : "bars"
