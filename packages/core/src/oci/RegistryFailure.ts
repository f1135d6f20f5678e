/** A registry's answer that is no success, as a typed reason. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  ImageNotFound,
  MalformedAnswer,
  RegistryDenied,
  RegistryFull,
  RegistryRateLimited,
  type RegistryReason,
  RegistryRefused,
  RegistryUnreachable,
  RegistryUnsupported
} from "./RegistryReason.ts"

/** The body of an error (OCI distribution spec, "Error codes"). */
const ErrorBody = Schema.fromJsonString(
  Schema.Struct({
    errors: Schema.Array(
      Schema.Struct({
        code: Schema.String,
        message: Schema.optionalKey(Schema.String),
        detail: Schema.optionalKey(Schema.Unknown)
      })
    )
  })
)

/** `Retry-After` in seconds: a number of them, or a date (RFC 9110, 10.2.3). */
const retryAfter = (value: string | undefined, now: number): number | undefined => {
  if (value === undefined) return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : undefined
}

const printable = (text: string): string =>
  text
    .replace(/[\u0000-\u001f\u007f]+/g, " ")
    .trim()
    .slice(0, 300)

export const reasonOf = (
  endpoint: string,
  answer: {
    readonly status: number
    readonly headers: Readonly<Record<string, string | undefined>>
    readonly body: Buffer
  }
): RegistryReason => {
  const { status, headers } = answer
  const text = answer.body.toString("utf8")
  const errors = Option.match(Schema.decodeOption(ErrorBody)(text), {
    onNone: () => [],
    onSome: (body) => body.errors
  })
  const has = (code: string) => errors.some((error) => error.code === code)
  const said = errors.map(({ code, message = "" }) => `${code} ${message}`).join("; ")
  const detail = printable(said === "" ? text : said) || `it answered ${status}`
  if (status === 507 || status === 413 || /no space left|insufficient storage|quota/i.test(text))
    return new RegistryFull({ detail })
  if (status === 429 || has("TOOMANYREQUESTS")) {
    const seconds = retryAfter(headers["retry-after"], Date.now())
    return new RegistryRateLimited({
      endpoint,
      ...(seconds === undefined ? {} : { retryAfterSeconds: seconds })
    })
  }
  if (status === 408 || status >= 500)
    return new RegistryUnreachable({ endpoint, detail: `it answered ${status}: ${detail}` })
  if (status === 404) return new ImageNotFound({})
  if (status === 403 || has("DENIED")) return new RegistryDenied({ detail })
  if (status === 405 || has("UNSUPPORTED")) return new RegistryUnsupported({ detail })
  if (status >= 300 && status < 400)
    return new MalformedAnswer({
      endpoint,
      detail: `it redirects (${status}), which a registry's API does not`
    })
  return new RegistryRefused({ status, detail })
}
