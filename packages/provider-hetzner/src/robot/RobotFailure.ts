/** An answer of Robot's that is no success, as a typed reason: by its own code (Robot webservice documentation, "Errors"). */
import type { VendorAnswer } from "@mcpdeploy/core/region/VendorHttp"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { printable } from "../api/HetznerFailure.ts"
import {
  HetznerBusy,
  HetznerNotFound,
  type HetznerReason,
  HetznerRejected,
  HetznerThrottled,
  HetznerUnauthorized,
  HetznerUnavailable
} from "../api/HetznerReason.ts"

const Fields = Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String)))
const Failure = Schema.Struct({
  error: Schema.Struct({
    code: Schema.String,
    message: Schema.String,
    /** Of `INVALID_INPUT`: names of fields. */
    missing: Fields,
    invalid: Fields,
    /** Of `RATE_LIMIT_EXCEEDED`, seconds: the requests of one interval are limited. */
    interval: Schema.optionalKey(Schema.Finite)
  })
})
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Failure))

/** Another change to the same object is being carried out. */
const busy = new Set(["VSWITCH_IN_PROCESS", "FIREWALL_IN_PROCESS"])

export const reasonOf = (operation: string, { body, status }: VendorAnswer): HetznerReason => {
  const error = Option.match(decode(body), {
    onNone: () => ({ code: "", message: body }),
    onSome: (found) => found.error
  })
  const { code, interval, invalid, message, missing } = {
    interval: undefined,
    invalid: undefined,
    missing: undefined,
    ...error
  }
  const fields = [
    ...(missing ?? []).map((name) => `${name} is missing`),
    ...(invalid ?? []).map((name) => `${name} is invalid`)
  ]
  const detail = printable([message, ...fields].join("; ")) || `it answered ${status}`
  if (code === "RATE_LIMIT_EXCEEDED" || status === 429)
    return new HetznerThrottled({
      operation,
      ...(interval === undefined ? {} : { retryAfterSeconds: interval })
    })
  if (busy.has(code)) return new HetznerBusy({ operation, code, detail })
  if (status >= 500 || status === 408)
    return new HetznerUnavailable({ operation, detail: `${status}: ${detail}`, maybeDone: true })
  if (status === 401 || code === "UNAUTHORIZED")
    return new HetznerUnauthorized({
      operation,
      detail,
      needs:
        "HETZNER_ROBOT_USER and HETZNER_ROBOT_PASSWORD must be those of the web service (Robot, Settings); after three wrong attempts Hetzner locks the address out for 10 minutes"
    })
  if (status === 404) return new HetznerNotFound({ operation, detail })
  return new HetznerRejected({ operation, code: code === "" ? String(status) : code, detail })
}
