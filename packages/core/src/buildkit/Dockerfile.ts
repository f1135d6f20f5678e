/** The context's folder and the Dockerfile, resolved: nothing outside the repository is used. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { ContextUnreadable, DockerfileEscapes, DockerfileNotFound } from "../BuildFailure.ts"
import type { BuildRequest } from "../ImageBuilder.ts"

const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")

const detailOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** `Dockerfile` may be written small; the frontend looks for that as well. */
const spellings = (dockerfile: string): ReadonlyArray<string> =>
  path.basename(dockerfile) === "Dockerfile"
    ? [dockerfile, path.join(path.dirname(dockerfile), "dockerfile")]
    : [dockerfile]

/** What a build reads. All paths but `dockerfile` are absolute and real. */
export interface BuildFiles {
  readonly context: string
  /** The folder that the Dockerfile is in, at whatever depth. */
  readonly repository: string
  /** The Dockerfile from there; it may be a link, and its own ignore file lies beside it. */
  readonly dockerfile: string
}

const realFolder = (folder: string) =>
  Effect.tryPromise({
    try: () => fs.realpath(folder),
    catch: (cause) => new ContextUnreadable({ path: folder, detail: detailOf(cause) })
  })

const isInside = (folder: string, file: string): boolean =>
  file.startsWith(folder === "/" ? folder : `${folder}/`)

/** The files of a build, once its Dockerfile is seen to be a file inside the repository. */
export const resolveFiles = Effect.fnUntraced(function* (
  asked: Pick<BuildRequest, "context" | "dockerfile" | "repository">
): Effect.fn.Return<BuildFiles, ContextUnreadable | DockerfileEscapes | DockerfileNotFound> {
  const { dockerfile } = asked
  const context = yield* realFolder(asked.context)
  const repository = asked.repository === undefined ? context : yield* realFolder(asked.repository)
  const named = path.join(context, dockerfile)
  if (path.isAbsolute(dockerfile) || !isInside(repository, named))
    return yield* new DockerfileEscapes({ dockerfile })
  for (const spelling of spellings(dockerfile)) {
    const real = yield* Effect.tryPromise({
      try: () =>
        fs
          .realpath(path.join(context, spelling))
          .catch((cause) => (isMissing(cause) ? undefined : Promise.reject(cause))),
      catch: (cause) => new ContextUnreadable({ path: spelling, detail: detailOf(cause) })
    })
    if (real === undefined) continue
    if (!isInside(repository, real)) return yield* new DockerfileEscapes({ dockerfile })
    const stats = yield* Effect.tryPromise({
      try: () => fs.stat(real),
      catch: (cause) => new ContextUnreadable({ path: spelling, detail: detailOf(cause) })
    })
    if (stats.isFile()) return { context, repository, dockerfile: path.relative(repository, named) }
  }
  return yield* new DockerfileNotFound({ dockerfile })
})
