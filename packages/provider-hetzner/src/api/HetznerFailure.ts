/** An answer of Hetzner's that is no success, as a typed reason: by the API's own error code (API reference, "Errors"). */
import type { VendorAnswer } from "@mcpdeploy/core/region/VendorHttp"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  HetznerBusy,
  HetznerDuplicate,
  HetznerNotFound,
  type HetznerReason,
  HetznerRejected,
  HetznerThrottled,
  HetznerUnauthorized,
  HetznerUnavailable
} from "./HetznerReason.ts"

const Failure = Schema.Struct({
  error: Schema.Struct({
    code: Schema.String,
    message: Schema.String,
    details: Schema.optionalKey(
      Schema.NullOr(
        Schema.Struct({
          fields: Schema.optionalKey(
            Schema.Array(Schema.Struct({ name: Schema.String, messages: Schema.Array(Schema.String) }))
          )
        })
      )
    )
  })
})
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Failure))

const unauthorized = new Set(["unauthorized", "forbidden", "token_readonly"])
/** Nothing was done, and later it may be. */
const busy = new Set([
  "conflict",
  "locked",
  "maintenance",
  "resource_unavailable",
  "robot_unavailable",
  "placement_error"
])
const duplicate = new Set([
  "uniqueness_error",
  "target_already_defined",
  "server_already_attached",
  "server_already_added",
  "load_balancer_already_attached",
  "firewall_already_applied",
  "source_port_already_used"
])
const unavailable = new Set(["server_error", "service_error", "unknown_error", "bad_gateway", "timeout"])

export const printable = (text: string): string =>
  text
    .replace(/[\u0000-\u001f\u007f]+/g, " ")
    .trim()
    .slice(0, 300)

export const reasonOf = (operation: string, { body, headers, status }: VendorAnswer): HetznerReason => {
  const { code, fields, message } = Option.match(decode(body), {
    onNone: () => ({ code: "", message: body, fields: [] }),
    onSome: ({ error }) => ({ ...error, fields: error.details?.fields ?? [] })
  })
  const said = [message, ...fields.map(({ messages, name }) => `${name}: ${messages.join(", ")}`)].join("; ")
  const detail = printable(said) || `it answered ${status}`
  if (status === 429 || code === "rate_limit_exceeded") {
    const seconds = Number(headers["retry-after"] ?? Number.NaN)
    return new HetznerThrottled({
      operation,
      ...(Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : {})
    })
  }
  if (busy.has(code)) return new HetznerBusy({ operation, code, detail })
  if (status >= 500 || status === 408 || unavailable.has(code))
    return new HetznerUnavailable({ operation, detail: `${status}: ${detail}`, maybeDone: true })
  if (unauthorized.has(code) || status === 401 || status === 403)
    return new HetznerUnauthorized({
      operation,
      detail,
      needs: "HCLOUD_TOKEN must be a token of the region's project, with read and write"
    })
  if (duplicate.has(code)) return new HetznerDuplicate({ operation, code, detail })
  if (status === 404 || code === "not_found") return new HetznerNotFound({ operation, detail })
  return new HetznerRejected({ operation, code: code === "" ? String(status) : code, detail })
}
