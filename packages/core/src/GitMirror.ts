/** GitMirror: keeps repositories of elsewhere mirrored in the region's own Git server, and tells deployer-server of their pushes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { GitCredentials, RepositoryUrl } from "./domain/Source.ts"

/** `owner/repository` in the Git server, in lower case: it ignores case. */
export const MirrorName = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(
      /^[a-z0-9](?:[a-z0-9]|[-_.](?=[a-z0-9])){0,38}\/(?!\.)(?!.*\.(?:git|wiki|rss|atom|lock)$)[a-z0-9._-]{1,100}$/,
      { expected: "owner/repository in lower case, letters, digits and -._" }
    )
  ),
  Schema.brand("MirrorName")
)
export type MirrorName = typeof MirrorName.Type

/** What a mirror is to be. Kept where the loss of the Git server does not reach it. */
export class MirrorSpec extends Schema.Class<MirrorSpec>("mcpdeploy/core/MirrorSpec")({
  name: MirrorName,
  /** `http(s)://` only. */
  source: RepositoryUrl.pipe(
    Schema.check(Schema.isPattern(/^https?:/i, { expected: "an http or https URL" }))
  ),
  credentials: Schema.optionalKey(GitCredentials),
  /** Minutes between two looks at the source. */
  intervalMinutes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_080 }))
}) {}

/** A part of a mirror that was not as it is to be, and now is. */
export const MirrorChange = Schema.Literals(["recorded", "owner", "repository", "settings", "webhook"])
export type MirrorChange = typeof MirrorChange.Type

/** A mirror that is remembered, and how it stands at the Git server. */
export interface MirrorState {
  readonly spec: MirrorSpec
  /** `missing`: the Git server does not have it, see `rebuild`. */
  readonly state: "mirrored" | "missing" | "other"
  /** Where it is cloned from; absent while the Git server does not have it. */
  readonly url: string | undefined
  /** When it was last synced, ISO 8601. */
  readonly syncedAt: string | undefined
}

/** What `add` has made or repaired. */
export interface MirrorAdded {
  readonly spec: MirrorSpec
  /** Where the mirror is cloned from. */
  readonly url: string
  /** Empty when all was as it is to be. */
  readonly changes: ReadonlyArray<MirrorChange>
}

/** The Git server, or the cluster that keeps the list, does not answer. */
export class MirrorUnavailable extends Schema.TaggedError<MirrorUnavailable>()("MirrorUnavailable", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return this.detail
  }
}

/** Credentials, the name or the source are not accepted; says by whom and why. */
export class MirrorRefused extends Schema.TaggedError<MirrorRefused>()("MirrorRefused", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return this.detail
  }
}

/** The name is taken by a repository that is not this mirror. It is left as it is. */
export class MirrorConflict extends Schema.TaggedError<MirrorConflict>()("MirrorConflict", {
  name: MirrorName,
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.name} cannot be this mirror: ${this.detail}`
  }
}

/** No mirror of that name is remembered. */
export class MirrorNotFound extends Schema.TaggedError<MirrorNotFound>()("MirrorNotFound", {
  name: MirrorName
}) {
  readonly retryable = false
  override get message(): string {
    return `there is no mirror ${this.name}: \`mcpdeploy mirror list\` shows those that there are`
  }
}

/** Why a mirror could not be made, listed, synced or removed. */
export type MirrorError = MirrorUnavailable | MirrorRefused | MirrorConflict | MirrorNotFound

/** Customers' repositories, mirrored in the region's own Git server. */
export class GitMirror extends Context.Service<
  GitMirror,
  {
    /** Makes the mirror, adopts one that is there, repairs what differs. Killed and called again: converges. */
    readonly add: (spec: MirrorSpec) => Effect.Effect<MirrorAdded, MirrorError>
    readonly list: Effect.Effect<ReadonlyArray<MirrorState>, MirrorError>
    /** Deletes the repository, with its webhook, and the record. Not there: does nothing. */
    readonly remove: (name: MirrorName) => Effect.Effect<void, MirrorError>
    /** Looks at the source now, without waiting for it. */
    readonly sync: (name: MirrorName) => Effect.Effect<void, MirrorError>
    /** Makes every recorded mirror again, as after the loss of the Git server; `onMirror` hears of each. */
    readonly rebuild: (
      onMirror: (added: MirrorAdded) => Effect.Effect<void>
    ) => Effect.Effect<ReadonlyArray<MirrorAdded>, MirrorError>
  }
>()("mcpdeploy/core/GitMirror") {
  /** Of a region without a Git server: there are no mirrors, and none can be made. */
  static readonly none: Layer.Layer<GitMirror> = Layer.sync(GitMirror, () => {
    const refused = Effect.fail(new MirrorRefused({ detail: "this region has no Git server for mirrors" }))
    return GitMirror.of({
      add: () => refused,
      list: Effect.succeed([]),
      remove: () => Effect.void,
      sync: () => refused,
      rebuild: () => Effect.succeed([])
    })
  })
}
