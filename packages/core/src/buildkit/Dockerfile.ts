/** The context's folder and its Dockerfile, resolved: nothing outside the folder is used. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { ContextUnreadable, DockerfileEscapes, DockerfileNotFound } from "../BuildFailure.ts"

const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")

const detailOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** `Dockerfile` may be written small; the frontend looks for that as well. */
const spellings = (dockerfile: string): ReadonlyArray<string> =>
  path.basename(dockerfile) === "Dockerfile"
    ? [dockerfile, path.join(path.dirname(dockerfile), "dockerfile")]
    : [dockerfile]

/** The context's real path, once its Dockerfile is seen to be a file inside it. */
export const resolveContext = Effect.fnUntraced(function* (
  context: string,
  dockerfile: string
): Effect.fn.Return<string, ContextUnreadable | DockerfileEscapes | DockerfileNotFound> {
  const root = yield* Effect.tryPromise({
    try: () => fs.realpath(context),
    catch: (cause) => new ContextUnreadable({ path: context, detail: detailOf(cause) })
  })
  if (path.isAbsolute(dockerfile)) return yield* new DockerfileEscapes({ dockerfile })
  for (const spelling of spellings(dockerfile)) {
    const real = yield* Effect.tryPromise({
      try: () =>
        fs
          .realpath(path.join(root, spelling))
          .catch((cause) => (isMissing(cause) ? undefined : Promise.reject(cause))),
      catch: (cause) => new ContextUnreadable({ path: spelling, detail: detailOf(cause) })
    })
    if (real === undefined) continue
    if (!real.startsWith(root === "/" ? root : `${root}/`))
      return yield* new DockerfileEscapes({ dockerfile })
    const stats = yield* Effect.tryPromise({
      try: () => fs.stat(real),
      catch: (cause) => new ContextUnreadable({ path: spelling, detail: detailOf(cause) })
    })
    if (stats.isFile()) return root
  }
  return yield* new DockerfileNotFound({ dockerfile })
})
