/** The reasons why Registry fails. Each says what to do, and whether a retry can help. */
import * as Schema from "effect/Schema"
import { ImageDigest, RegistryName } from "../domain/Image.ts"

/** No such repository, tag or manifest. */
export class ImageNotFound extends Schema.TaggedError<ImageNotFound>()("ImageNotFound", {}) {
  readonly retryable = false
  override get message(): string {
    return "no such image in the registry"
  }
}

/** A repository's path, tag or digest is not one (OCI distribution spec, "Pulling manifests"). */
export class InvalidReference extends Schema.TaggedError<InvalidReference>()("InvalidReference", {
  reference: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${JSON.stringify(this.reference)} is no name of an image, tag or digest`
  }
}

/** The registry's name is not in the configuration, so there is no address for it. */
export class RegistryNotConfigured extends Schema.TaggedError<RegistryNotConfigured>()(
  "RegistryNotConfigured",
  {
    registry: RegistryName
  }
) {
  readonly retryable = false
  override get message(): string {
    return `the registry ${this.registry} is not configured: add its endpoint`
  }
}

/** The registry does not answer in time, resets, or answers 5xx. A retry can help. */
export class RegistryUnreachable extends Schema.TaggedError<RegistryUnreachable>()("RegistryUnreachable", {
  endpoint: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the registry at ${this.endpoint} cannot be reached: ${this.detail}`
  }
}

/** The registry's certificate is not signed by an authority that is trusted. */
export class RegistryCertificateNotTrusted extends Schema.TaggedError<RegistryCertificateNotTrusted>()(
  "RegistryCertificateNotTrusted",
  { endpoint: Schema.String, detail: Schema.String }
) {
  readonly retryable = false
  override get message(): string {
    return `the certificate of the registry at ${this.endpoint} is not trusted (${this.detail}): renew it, or configure its authority`
  }
}

/** 429: too many requests. */
export class RegistryRateLimited extends Schema.TaggedError<RegistryRateLimited>()("RegistryRateLimited", {
  endpoint: Schema.String,
  /** What the registry asks to wait. */
  retryAfterSeconds: Schema.optionalKey(Schema.Finite)
}) {
  readonly retryable = true
  override get message(): string {
    const wait = this.retryAfterSeconds === undefined ? "later" : `in ${this.retryAfterSeconds} seconds`
    return `the registry at ${this.endpoint} gets too many requests: try again ${wait}`
  }
}

/** 401, with or without credentials. */
export class RegistryUnauthorized extends Schema.TaggedError<RegistryUnauthorized>()("RegistryUnauthorized", {
  endpoint: Schema.String,
  withCredentials: Schema.Boolean
}) {
  readonly retryable = false
  override get message(): string {
    return this.withCredentials
      ? `the registry at ${this.endpoint} refused the credentials: check that they are valid`
      : `the registry at ${this.endpoint} asks for credentials: configure them`
  }
}

/** 403: the credentials are known, and may not do this. */
export class RegistryDenied extends Schema.TaggedError<RegistryDenied>()("RegistryDenied", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the registry does not allow it: ${this.detail}`
  }
}

/** A disk or a quota of the registry is full. */
export class RegistryFull extends Schema.TaggedError<RegistryFull>()("RegistryFull", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the registry has no room left (${this.detail}): collect garbage, or raise its disk or quota`
  }
}

/** A manifest's bytes are not those of its digest. Nothing was written. */
export class ManifestMismatch extends Schema.TaggedError<ManifestMismatch>()("ManifestMismatch", {
  expected: ImageDigest,
  actual: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the registry answers with ${this.actual} where ${this.expected} was asked for: its storage, or something between, is damaged`
  }
}

/** The registry does not offer this operation. */
export class RegistryUnsupported extends Schema.TaggedError<RegistryUnsupported>()("RegistryUnsupported", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return this.detail
  }
}

/** The registry refuses the request for a reason of its own. */
export class RegistryRefused extends Schema.TaggedError<RegistryRefused>()("RegistryRefused", {
  status: Schema.Int,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `the registry refuses it with ${this.status}: ${this.detail}`
  }
}

/** What answers does not speak the OCI distribution protocol. */
export class MalformedAnswer extends Schema.TaggedError<MalformedAnswer>()("MalformedAnswer", {
  endpoint: Schema.String,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `what answers at ${this.endpoint} is no OCI registry: ${this.detail}`
  }
}

/** Why a registry did not do what it was asked for, as one of many causes. */
export const RegistryReason = Schema.Union([
  ImageNotFound,
  InvalidReference,
  RegistryNotConfigured,
  RegistryUnreachable,
  RegistryCertificateNotTrusted,
  RegistryRateLimited,
  RegistryUnauthorized,
  RegistryDenied,
  RegistryFull,
  ManifestMismatch,
  RegistryUnsupported,
  RegistryRefused,
  MalformedAnswer
])
export type RegistryReason = typeof RegistryReason.Type
