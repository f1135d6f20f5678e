/** ApiFailure: what the API server says when it does not do what was asked (its `Status` object), as types. */
import {
  type ClusterApplierReason,
  ClusterForbidden,
  type ClusterConfigInvalid,
  ClusterUnreachable,
  NamespaceTerminating,
  ObjectInvalid,
  UnexpectedAnswer
} from "@mcpdeploy/core/ClusterApplier"
import { Namespace } from "@mcpdeploy/core/domain/Identity"
import { QuotaExceeded } from "@mcpdeploy/core/domain/RolloutCause"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** The object does not exist. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { object: Schema.String }) {
  override get message(): string {
    return `${this.object} does not exist`
  }
}

/** A precondition does not hold: the object is no longer the one that was read. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", { object: Schema.String }) {
  override get message(): string {
    return `${this.object} has changed since it was read`
  }
}

/** An object of that name exists. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>()("AlreadyExists", {
  object: Schema.String
}) {
  override get message(): string {
    return `${this.object} exists`
  }
}

/** A watch's resourceVersion is too old: list again. */
export class Expired extends Schema.TaggedError<Expired>()("Expired", { object: Schema.String }) {
  override get message(): string {
    return `the watch of ${this.object} has expired`
  }
}

/** Why the API server did not do what it was asked for. */
export type ApiFailure =
  | NotFound
  | Conflict
  | AlreadyExists
  | Expired
  | ClusterConfigInvalid
  | ClusterUnreachable
  | ClusterForbidden
  | ObjectInvalid
  | UnexpectedAnswer
  | NamespaceTerminating
  | QuotaExceeded

/** Everything that can go wrong here: what the API server says, and what we make of it. */
export type Failure = ApiFailure | ClusterApplierReason

/** `metav1.Status`, as far as it is used. */
const Status = Schema.Struct({
  message: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String),
  details: Schema.optionalKey(
    Schema.Struct({
      causes: Schema.optionalKey(
        Schema.Array(
          Schema.Struct({
            reason: Schema.optionalKey(Schema.String),
            message: Schema.optionalKey(Schema.String),
            field: Schema.optionalKey(Schema.String)
          })
        )
      )
    })
  )
})

const decodeStatus = Schema.decodeUnknownOption(Schema.fromJsonString(Status))

/** `object` names what was asked for; its namespace is the part after the last " in ". */
export const failureOf = (
  object: string,
  namespace: string | undefined,
  code: number,
  body: string
): ApiFailure => {
  const status = Option.getOrUndefined(decodeStatus(body))
  const detail = status?.message ?? (body.slice(0, 500) || `HTTP ${code}`)
  const causes = status?.details?.causes ?? []
  if (
    namespace !== undefined &&
    Schema.is(Namespace)(namespace) &&
    (causes.some(({ reason }) => reason === "NamespaceTerminating") ||
      /because it is being terminated/.test(detail))
  )
    return new NamespaceTerminating({ namespace })
  switch (code) {
    case 401:
      return new ClusterForbidden({ detail: "the credentials are not accepted" })
    case 403:
      if (/exceeded quota/.test(detail)) return new QuotaExceeded({ detail })
      // A server that has just started does not know its roles yet.
      if (/not yet ready to handle request/.test(detail)) return new ClusterUnreachable({ detail })
      return new ClusterForbidden({ detail })
    case 404:
      return new NotFound({ object })
    case 409:
      return status?.reason === "AlreadyExists" ? new AlreadyExists({ object }) : new Conflict({ object })
    case 410:
      return new Expired({ object })
    case 400:
    case 413:
    case 415:
    case 422:
      // A failed `test` of a JSON patch, and another object of the same name where a uid was given.
      if (
        /testing (?:value|path)|the server rejected our request due to an error in our request/.test(detail)
      )
        return new Conflict({ object })
      if (causes.some(({ field }) => field === "metadata.uid")) return new Conflict({ object })
      return new ObjectInvalid({
        object,
        detail,
        causes: causes.map(({ field, message }) => ({ field: field ?? "", message: message ?? "" }))
      })
    default:
      return code === 429 || code >= 500
        ? new ClusterUnreachable({ detail })
        : new UnexpectedAnswer({ object, detail: `HTTP ${code}: ${detail}` })
  }
}
