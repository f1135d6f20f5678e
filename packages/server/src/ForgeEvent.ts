/** ForgeEvent: what a verified webhook says, the same for both forges. */
import { isUtf8 } from "node:buffer"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Delivery, Forge } from "./Forge.ts"

const Paths = Schema.NullOr(Schema.Array(Schema.String))

const Commit = Schema.Struct({
  id: Schema.String,
  message: Schema.String,
  added: Schema.optionalKey(Paths),
  modified: Schema.optionalKey(Paths),
  removed: Schema.optionalKey(Paths)
})

const Repository = Schema.Struct({
  full_name: Schema.String,
  default_branch: Schema.optionalKey(Schema.String),
  /** GitHub, in a push: seconds since the epoch. */
  pushed_at: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.Int, Schema.String])))
})

const PushPayload = Schema.Struct({
  ref: Schema.String,
  before: CommitSha,
  after: CommitSha,
  commits: Schema.NullOr(Schema.Array(Commit)),
  head_commit: Schema.optionalKey(Schema.NullOr(Commit)),
  repository: Repository,
  /** GitHub alone. */
  forced: Schema.optionalKey(Schema.Boolean),
  /** Gitea alone: how many there are, of which `commits` lists the newest. */
  total_commits: Schema.optionalKey(Schema.Int)
})

const DeletePayload = Schema.Struct({
  ref: Schema.String,
  ref_type: Schema.String,
  repository: Repository
})

const AnyPayload = Schema.Struct({ repository: Schema.Struct({ full_name: Schema.String }) })

interface OfRepository {
  /** `owner/repository`. */
  readonly repository: string
}

/** What a push changed. */
export interface Changes {
  readonly paths: ReadonlySet<string>
  /** Why `paths` may lack some. */
  readonly doubt: string | undefined
  /** Whether the old head may have been thrown away. Gitea does not say. */
  readonly forced: boolean | undefined
}

export interface PushEvent extends OfRepository {
  readonly _tag: "Push"
  /** `refs/heads/…` or `refs/tags/…`. */
  readonly ref: string
  readonly before: CommitSha
  readonly after: CommitSha
  readonly defaultBranch: string | undefined
  /** Message of the newest commit, where the forge says it. */
  readonly message: string | undefined
  readonly changes: Changes
  /** Seconds since the epoch when it was pushed, where the forge says it. */
  readonly pushedAt: number | undefined
}

/** A branch or tag is gone. */
export interface DeleteEvent extends OfRepository {
  readonly _tag: "Delete"
  readonly ref: string
  readonly defaultBranch: string | undefined
}

/** Nothing that deploys. */
export interface OtherEvent extends OfRepository {
  readonly _tag: "Other"
  readonly event: string
}

export type ForgeEvent = PushEvent | DeleteEvent | OtherEvent

const noCommit = "0".repeat(40)

/**
 * GitHub lists at most 2,048 commits (older GitHub Enterprise Servers 20), and at most some thousands of paths of one. The
 * payload does not say when it left some out, so that the limits themselves raise a doubt.
 */
const githubLimits = { commits: [20, 2048], paths: 1000 }

const doubtOf = (
  forge: Forge,
  { after, before, commits, total_commits }: typeof PushPayload.Type
): string | undefined => {
  const listed = commits ?? []
  if (before === noCommit) return "the branch is new"
  if (listed.length === 0) return "the push lists no commits"
  if (!listed.some(({ id }) => id === after)) return "the push does not list its newest commit"
  if (total_commits !== undefined && total_commits > listed.length) {
    return `the push lists ${listed.length} of ${total_commits} commits`
  }
  if (forge === "gitea") return undefined
  const isLong = ({ added, modified, removed }: typeof Commit.Type) =>
    [added, modified, removed].some((paths) => (paths?.length ?? 0) >= githubLimits.paths)
  const [few = 0, many = 0] = githubLimits.commits
  return listed.length === few || listed.length >= many || listed.some(isLong)
    ? "the push may list less than it changed"
    : undefined
}

const pushOf = (forge: Forge, payload: typeof PushPayload.Type): PushEvent | DeleteEvent => {
  const { after, before, commits, forced, head_commit, ref, repository } = payload
  const common = { repository: repository.full_name, ref, defaultBranch: repository.default_branch }
  if (after === noCommit) return { _tag: "Delete", ...common }
  const listed = commits ?? []
  const head = head_commit ?? listed.find(({ id }) => id === after)
  return {
    _tag: "Push",
    ...common,
    before,
    after,
    message: head?.message,
    changes: {
      paths: new Set(
        listed.flatMap(({ added, modified, removed }) => [
          ...(added ?? []),
          ...(modified ?? []),
          ...(removed ?? [])
        ])
      ),
      doubt: doubtOf(forge, payload),
      forced
    },
    pushedAt: typeof repository.pushed_at === "number" ? repository.pushed_at : undefined
  }
}

const deleteOf = ({ ref, ref_type, repository }: typeof DeletePayload.Type): DeleteEvent => ({
  _tag: "Delete",
  repository: repository.full_name,
  ref: ref.startsWith("refs/") ? ref : `refs/${ref_type === "tag" ? "tags" : "heads"}/${ref}`,
  defaultBranch: repository.default_branch
})

const decodePush = Schema.decodeUnknownResult(PushPayload)
const decodeDelete = Schema.decodeUnknownResult(DeletePayload)
const decodeAny = Schema.decodeUnknownResult(AnyPayload)

/** One line, and not for ever: the forge shows it. */
const lineOf = (problem: string): string => problem.replaceAll(/\s+/g, " ").slice(0, 300)

const parse = (body: Buffer): Result.Result<unknown, string> => {
  if (!isUtf8(body)) return Result.fail("the body is not UTF-8")
  return Result.try({
    try: (): unknown => JSON.parse(body.toString()),
    catch: () => "the body is not JSON"
  })
}

/** Why a verified body is not what its headers say, in one line; else what it says. */
export const decodeEvent = ({ body, event = "", forge }: Delivery): Result.Result<ForgeEvent, string> => {
  const payload = parse(body)
  if (Result.isFailure(payload)) return Result.fail(payload.failure)
  const decoded: Result.Result<ForgeEvent, Schema.SchemaError> =
    event === "push"
      ? Result.map(decodePush(payload.success), (push) => pushOf(forge, push))
      : event === "delete"
        ? Result.map(decodeDelete(payload.success), deleteOf)
        : Result.map(decodeAny(payload.success), ({ repository }): OtherEvent => ({
            _tag: "Other",
            event,
            repository: repository.full_name
          }))
  return Result.mapError(decoded, (error) => lineOf(`the body is not the event ${event}: ${error.message}`))
}
