/** An answer of Cloudflare that is no success, as a typed reason. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  CloudflareDuplicate,
  CloudflareInUse,
  CloudflareNotFound,
  type CloudflareReason,
  CloudflareRejected,
  CloudflareThrottled,
  CloudflareUnauthorized,
  CloudflareUnavailable
} from "./CloudflareReason.ts"

/** An entry of `errors` (API reference, "Response schema"). Older products put the cause into `error_chain`. */
const ApiError = Schema.Struct({
  code: Schema.optionalKey(Schema.Finite),
  message: Schema.optionalKey(Schema.String),
  error_chain: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        code: Schema.optionalKey(Schema.Finite),
        message: Schema.optionalKey(Schema.String)
      })
    )
  )
})

const decodeErrors = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ errors: Schema.Array(ApiError) }))
)

const throttled = [971, 1015, 10100]
/** DNS: another record of the name, or the same one; load balancing: "value not unique". */
const duplicate = [81053, 81054, 81056, 81057, 81058, 1003]
const referenced = [1005]
/** 81044: no such record; 1001: no such object of load balancing; 7000, 7003: no such zone or account. */
const absent = [81044, 1001, 7000, 7003]
const unauthorized = [1000, 6003, 9109, 10000]

const printable = (text: string): string =>
  text
    .replace(/[\u0000-\u001f\u007f]+/g, " ")
    .trim()
    .slice(0, 300)

/** `Retry-After` in seconds: a number of them, or a date (RFC 9110, 10.2.3). */
const retryAfter = (value: string | undefined, now: number): number | undefined => {
  if (value === undefined) return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : undefined
}

export interface FailedAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** `now`: milliseconds since the epoch, for a `Retry-After` that is a date. */
export const reasonOf = (operation: string, answer: FailedAnswer, now: number): CloudflareReason => {
  const { body, headers, status } = answer
  const errors = Option.match(decodeErrors(body), { onNone: () => [], onSome: ({ errors }) => errors })
  const all = errors.flatMap((error) => [error, ...(error.error_chain ?? [])])
  const codeIn = (codes: ReadonlyArray<number>) =>
    all.map(({ code }) => code).find((code) => code !== undefined && codes.includes(code))
  const said = all.map(({ code, message = "" }) => `${message}${code === undefined ? "" : ` (code ${code})`}`)
  const detail = printable(said.length === 0 ? body : said.join("; ")) || `it answered ${status}`
  if (status === 429 || codeIn(throttled) !== undefined) {
    const seconds = retryAfter(headers["retry-after"], now)
    return new CloudflareThrottled({
      operation,
      ...(seconds === undefined ? {} : { retryAfterSeconds: seconds })
    })
  }
  if (status === 408 || status >= 500)
    return new CloudflareUnavailable({ operation, detail: `${status}: ${detail}`, maybeDone: true })
  const duplicateCode = codeIn(duplicate)
  if (duplicateCode !== undefined) return new CloudflareDuplicate({ operation, code: duplicateCode, detail })
  if (codeIn(referenced) !== undefined || status === 412) return new CloudflareInUse({ operation, detail })
  if (status === 404 || codeIn(absent) !== undefined) return new CloudflareNotFound({ operation, detail })
  if (status === 401 || status === 403 || codeIn(unauthorized) !== undefined)
    return new CloudflareUnauthorized({ operation, detail })
  return new CloudflareRejected({ operation, status, detail })
}
