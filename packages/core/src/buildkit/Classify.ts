/** What a failed build means, from the daemon's status, its details, and the steps' own messages. */
import { status } from "@grpc/grpc-js"
import {
  BaseImageUnavailable,
  BuildFailed,
  type BuildFailureReason,
  BuildSecretMissing,
  BuildStepFailed,
  BuildStepKilled,
  BuilderDiskFull,
  BuilderUnreachable,
  ContextUnreadable,
  DockerfileInvalid,
  type DockerfileLocation,
  DockerfileNotFound,
  FileNotInContext,
  ImagePushFailed,
  SourceForbidden,
  TargetNotFound
} from "../BuildFailure.ts"
import { FileUnreadable } from "./FileSync.ts"
import type { FailureDetails, GrpcFailure } from "./GrpcFailure.ts"
import type { BuildFollower } from "./Progress.ts"

/** What is known about the build that failed. */
export interface FailedBuild {
  readonly address: string
  readonly dockerfile: string
  /** What went wrong on this side of the session. */
  readonly sessionFailure: Error | undefined
  readonly follower: BuildFollower
}

/** Process killed by SIGKILL: 128 + 9. */
const killedExitCode = 137
const excerptPadding = 2
const longestExcerptLine = 200

/** Column (from 1) of what a message is about: the word or text that it names, else the line's first character. */
const columnIn = (line: string, detail: string): number => {
  const named = [/"([^"]+)"/, /unknown (?:instruction|flag): (\S+)/].flatMap(
    (pattern) => pattern.exec(detail)?.[1]?.replace(/^\//, "") ?? []
  )
  const found = named.map((text) => line.indexOf(text)).find((index) => index >= 0)
  return (found ?? Math.max(0, line.search(/\S/))) + 1
}

/** Where in the Dockerfile, with an excerpt for people. The daemon tells lines; columns seldom. */
export const locationOf = (
  source: FailureDetails["source"],
  detail: string
): DockerfileLocation | undefined => {
  const ranges = (source?.ranges ?? []).flatMap((range) => {
    const start = range.start.line ?? 0
    const end = Math.max(start, range.end?.line ?? start)
    return start > 0 ? [{ start, end, character: range.start.character ?? 0 }] : []
  })
  const first = ranges[0]
  if (source === undefined || first === undefined) return undefined
  const line = Math.min(...ranges.map(({ start }) => start))
  const endLine = Math.max(...ranges.map(({ end }) => end))
  const text = source.content.replace(/\n$/, "").split("\n")
  const firstShown = Math.max(1, line - excerptPadding)
  const excerpt = text
    .slice(firstShown - 1, endLine + excerptPadding)
    .map((content, index) => {
      const number = firstShown + index
      const mark = number >= line && number <= endLine ? ">" : " "
      return `${String(number).padStart(4)} ${mark} ${content.slice(0, longestExcerptLine)}`.trimEnd()
    })
    .join("\n")
  const column = first.character > 0 ? first.character + 1 : columnIn(text[line - 1] ?? "", detail)
  return { file: source.file, line, column, endLine, excerpt }
}

/** The instruction as the Dockerfile has it, where the details have its text. */
const instructionIn = (
  source: FailureDetails["source"],
  location: DockerfileLocation | undefined
): string | undefined =>
  source === undefined || location === undefined
    ? undefined
    : source.content
        .split("\n")
        .slice(location.line - 1, location.endLine)
        .join("\n")
        .trim()

const isTransient = (detail: string): boolean =>
  /dial tcp|connection re(?:fused|set)|i\/o timeout|TLS handshake|no such host|EOF|unexpected status[^:]*: ?5\d\d|50\d |too ?many ?requests/i.test(
    detail
  )
const isRefused = (detail: string): boolean =>
  /\b401\b|\b403\b|unauthori[sz]ed|authorization failed|failed to authorize|access denied|insufficient_scope/i.test(
    detail
  )

const lostConnection =
  /no active session|session healthcheck failed|transport is closing|server is (?:shutting|closing)|graceful_stop/i

/** Messages by which a class of failure is known, the more certain first. */
const classifiers: ReadonlyArray<
  (
    text: string,
    about: { readonly location?: DockerfileLocation },
    build: FailedBuild
  ) => BuildFailureReason | undefined
> = [
  (text) =>
    /no space left on device|disk quota exceeded/i.test(text)
      ? new BuilderDiskFull({ detail: text })
      : undefined,
  (text) => {
    const target = /target stage "?([^"\s]+)"? could not be found/.exec(text)?.[1]
    return target === undefined ? undefined : new TargetNotFound({ target })
  },
  (text, about) => {
    const id = /secret ([^\s:]+):? not found/.exec(text)?.[1]
    return id === undefined ? undefined : new BuildSecretMissing({ id, ...about })
  },
  (text, about) => {
    const source = /source "(?:docker-image:\/\/)?([^"]+)" (?:not allowed|denied) by policy/.exec(text)?.[1]
    return source === undefined ? undefined : new SourceForbidden({ source, ...about })
  },
  (text) =>
    /failed to push|error (?:pushing|writing layer)|failed to copy: .*(?:PUT|POST|PATCH)|pushing layers/i.test(
      text
    )
      ? new ImagePushFailed({ detail: text, refused: isRefused(text) })
      : undefined,
  (text, about) => {
    const path = /failed to calculate checksum of ref [^:]+::?[^:]*: "\/?([^"]+)": not found/.exec(text)?.[1]
    return path === undefined ? undefined : new FileNotInContext({ path, ...about })
  },
  (text, about) => {
    const image = /failed to resolve source metadata for ([^\s:]+(?::\d+)?[^\s]*?): /.exec(text)?.[1]
    if (image === undefined) return undefined
    const detail = text.slice(text.lastIndexOf(`metadata for ${image}: `) + image.length + 15)
    return new BaseImageUnavailable({
      image,
      detail,
      transient: isTransient(detail) && !isRefused(detail),
      ...about
    })
  },
  (text, _about, { dockerfile }) =>
    /failed to read dockerfile: open .*: no such file or directory/.test(text)
      ? new DockerfileNotFound({ dockerfile })
      : undefined,
  // Its own storage: a daemon that was killed may trip over a folder that it left behind, and not when asked again.
  (text, _about, { address }) =>
    /failed to (?:read dockerfile: |prepare .* as \w+: )/.test(text)
      ? new BuilderUnreachable({ address, detail: text })
      : undefined,
  (text) =>
    text.includes("syntax error in pattern")
      ? new ContextUnreadable({
          path: ".dockerignore",
          detail: "one of its patterns has an open [ or a \\ at its end"
        })
      : undefined,
  (text, location) =>
    /dockerfile parse error|failed to parse|failed to process|unknown instruction|circular dependency|cannot be empty|is not allowed$|invalid|requires/i.test(
      text
    )
      ? new DockerfileInvalid({
          detail: text.replace(/^dockerfile parse error on line \d+: /, ""),
          ...location
        })
      : undefined
]

/** The reason of a build's failure. */
export const classify = (failure: GrpcFailure, build: FailedBuild): BuildFailureReason => {
  const { address, follower, sessionFailure } = build
  if (sessionFailure instanceof FileUnreadable) {
    return new ContextUnreadable({ path: sessionFailure.path, detail: sessionFailure.message })
  }
  const detail = failure.detail.replace(/^failed to solve: /, "")
  if (failure.connectionLost || lostConnection.test(detail)) {
    const session = sessionFailure === undefined ? "" : `; its session: ${sessionFailure.message}`
    return new BuilderUnreachable({ address, detail: `${detail}${session}` })
  }
  const location = locationOf(failure.details.source, detail)
  const about = location === undefined ? {} : { location }
  const { exitCode, source, vertex } = failure.details
  if (exitCode !== undefined && exitCode !== 0) {
    const step = vertex ?? follower.failed?.vertex ?? ""
    const instruction = instructionIn(source, location) ?? follower.instructionOf(step) ?? detail
    const lastLines = follower.lastLinesOf(step)
    const killed = exitCode === killedExitCode || detail.endsWith("cannot allocate memory")
    return killed
      ? new BuildStepKilled({ instruction, lastLines, ...about })
      : new BuildStepFailed({ instruction, exitCode, lastLines, ...about })
  }
  for (const classifier of classifiers) {
    const reason = classifier(detail, about, build)
    if (reason !== undefined) return reason
  }
  if (failure.code === status.RESOURCE_EXHAUSTED || /context canceled/.test(detail)) {
    return new BuilderUnreachable({ address, detail })
  }
  return new BuildFailed({ detail, ...about })
}
