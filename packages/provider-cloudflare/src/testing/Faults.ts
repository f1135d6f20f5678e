/** Faults that the double can answer a request with. */

export type Fault =
  /** 429 with code 971; nothing is done. */
  | { readonly kind: "throttled"; readonly retryAfterSeconds: number }
  /** A 5xx; the request is carried out or not. */
  | { readonly kind: "error"; readonly status: 500 | 502 | 503 | 504; readonly done: boolean }
  /** The connection is reset instead of an answer. */
  | { readonly kind: "reset"; readonly done: boolean }
  /** There never is an answer. */
  | { readonly kind: "silence"; readonly done: boolean }
  /** The body ends before its end. */
  | { readonly kind: "cut" }
  /** A list's page misses its last entry. */
  | { readonly kind: "shortPage" }

/** Every fault that can happen once, with what a test calls it. */
export const everyFault: ReadonlyArray<readonly [string, Fault]> = [
  ["429 with Retry-After", { kind: "throttled", retryAfterSeconds: 0 }],
  ["500 before it is done", { kind: "error", status: 500, done: false }],
  ["502 after it is done", { kind: "error", status: 502, done: true }],
  ["503 before it is done", { kind: "error", status: 503, done: false }],
  ["reset before it is done", { kind: "reset", done: false }],
  ["reset after it is done", { kind: "reset", done: true }],
  ["no answer, not done", { kind: "silence", done: false }],
  ["no answer, done", { kind: "silence", done: true }],
  ["an answer that is cut off", { kind: "cut" }],
  ["a page that misses an entry", { kind: "shortPage" }]
]
