/**
 * Text from customers' builds, apps and DNS, made harmless for the terminal of who reads it: without control characters, which
 * move the cursor, clear the screen or make the terminal answer, and without those that turn the direction of writing.
 */

/** C0 but tab and line feed, DEL and C1 (U+009B alone begins a sequence), and Unicode's bidirectional controls. */
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Of several lines. */
export const printableText = (text: string): string => text.replaceAll(steering, "")

/** Of one line: it stays one. */
export const printable = (text: string): string => printableText(text).replaceAll("\n", "")

/** A line of an app's log, which may be coloured (SGR sequences), and is not beyond its end. */
export const printableLog = (line: string): string => {
  const [first = "", ...rest] = line.split(/(\u001b\[[0-9;]*m)/)
  const parts = [first, ...rest].map((part, index) => (index % 2 === 0 ? printable(part) : part))
  return `${parts.join("")}${rest.length === 0 ? "" : "\u001b[0m"}`
}

/** JSON in one line, with what would steer a terminal as `\uXXXX`. */
export const jsonLine = (value: unknown): string =>
  JSON.stringify(value).replaceAll(
    steering,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
