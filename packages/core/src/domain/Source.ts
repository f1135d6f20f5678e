/** Where code comes from: repository, ref, commit, folder. */
import * as Schema from "effect/Schema"

/** A full SHA-1 object name of a commit, in lower case. */
export const CommitSha = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[0-9a-f]{40}$/, { expected: "a commit's full name of 40 hexadecimal digits" })
  ),
  Schema.brand("CommitSha")
)
export type CommitSha = typeof CommitSha.Type

/**
 * A branch, a tag, a full ref name (`refs/…`), `HEAD` or a full commit sha. The rules are those of git-check-ref-format(1);
 * a leading "-" is refused as well, so that a ref never reads as an option.
 */
export const GitRef = Schema.String.pipe(
  Schema.check(
    Schema.isMinLength(1),
    Schema.isMaxLength(255),
    Schema.isPattern(
      /^(?![-/.]|@$)(?!.*(?:\.\.|\/\/|\/\.|@\{|\.lock(?:\/|$)))[^\u0000-\u0020\u007f~^:?*[\\]+(?<![/.])$/,
      { expected: "a branch, a tag, a full ref name (refs/…), HEAD or a full commit sha" }
    )
  ),
  Schema.brand("GitRef")
)
export type GitRef = typeof GitRef.Type

const problemOfUrl = (text: string): string | undefined => {
  // A line break in a host or path has been used to smuggle lines into git's credential protocol (CVE-2020-5260).
  if (/[\u0000-\u0020\u007f\\]|%0[0ad]/i.test(text)) return "without spaces, backslashes, line breaks or NUL"
  // Git reads "https:host/path" as a host named "https" reached by ssh, the URL parser does not.
  if (!/^(?:https?|file):\/\//i.test(text) || !URL.canParse(text))
    return "such as https://github.com/owner/repository"
  const url = new URL(text)
  if (url.username !== "" || url.password !== "") return "without credentials: give them by reference"
  if (url.search !== "" || url.hash !== "") return "without query and fragment"
  if (url.protocol === "file:" && url.hostname !== "") return "without a host: file:///absolute/path"
  return url.pathname === "/" ? "with the repository's path" : undefined
}

/**
 * `https://host/path`, `http://host/path`, or `file:///path` (refused by GitSource unless switched on). Credentials are
 * not part of the URL: they are given by reference, beside it.
 */
export const RepositoryUrl = Schema.String.pipe(
  Schema.check(
    Schema.isMaxLength(2048),
    Schema.makeFilter((text) => {
      const problem = problemOfUrl(text)
      return problem === undefined ? undefined : `Expected an https, http or file URL ${problem}`
    })
  ),
  Schema.brand("RepositoryUrl")
)
export type RepositoryUrl = typeof RepositoryUrl.Type

const problemOfPath = (path: string): string | undefined => {
  if (/[\u0000-\u001f\u007f\\]/.test(path)) return "without backslashes or control characters"
  if (path.startsWith("/")) return "relative to the repository's root"
  return path.split("/").some((part) => part.toLowerCase() === ".git") ? "outside of .git" : undefined
}

const staysInside = "Expected a path that stays inside the repository"

const pathText = Schema.String.pipe(
  Schema.check(
    Schema.isMinLength(1),
    Schema.isMaxLength(1024),
    Schema.makeFilter((path) => {
      const problem = problemOfPath(path)
      return problem === undefined ? undefined : `Expected a path ${problem}`
    })
  )
)

/** A path inside the repository, `/` between its parts, never absolute and never with `..`. `.` is the repository's root. */
export const RepositoryPath = pathText.pipe(
  Schema.check(Schema.makeFilter((path) => (path.split("/").includes("..") ? staysInside : undefined))),
  Schema.brand("RepositoryPath")
)
export type RepositoryPath = typeof RepositoryPath.Type

/** A Dockerfile's path from the root directory. `..` may lead out of that, and not out of the repository. */
export const DockerfilePath = pathText.pipe(Schema.brand("DockerfilePath"))
export type DockerfilePath = typeof DockerfilePath.Type

/** A Dockerfile's path from the repository's root; undefined where it leads out of the repository. */
export const dockerfileInRepository = (
  rootDirectory: RepositoryPath,
  dockerfile: DockerfilePath
): string | undefined => {
  const parts: Array<string> = []
  for (const part of `${rootDirectory}/${dockerfile}`.split("/")) {
    if (part === "" || part === ".") continue
    if (part !== "..") parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.length === 0 ? "." : parts.join("/")
}

/** What says that {@link dockerfileInRepository} finds none. */
export const dockerfileLeavesRepository = staysInside

/**
 * A secret by name, never by value: `env:NAME` (an environment variable of the process) or `file:/absolute/path`.
 * Resolved by `SecretStore` where the value is used.
 */
export const SecretRef = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^(?:env:[ -<>-~]+|file:\/[^\u0000-\u001f]+)$/, {
      expected: "env:NAME or file:/absolute/path"
    })
  ),
  Schema.brand("SecretRef")
)
export type SecretRef = typeof SecretRef.Type

/** Credentials of a repository, by reference. A token alone is sent as the password of `x-access-token`. */
export const GitCredentials = Schema.Struct({
  /** RFC 7617 has no place for a ":" in it. */
  username: Schema.optionalKey(
    Schema.String.pipe(
      Schema.check(
        Schema.isPattern(/^[^:\u0000-\u001f\u007f]+$/, {
          expected: 'a user name without ":" and control characters'
        })
      )
    )
  ),
  password: SecretRef
})
export type GitCredentials = typeof GitCredentials.Type

/** A repository and what of it is wanted. */
export class GitRepository extends Schema.Class<GitRepository>("mcpdeploy/core/GitRepository")({
  url: RepositoryUrl,
  credentials: Schema.optionalKey(GitCredentials),
  /** Also fetch submodules (only from the same host, by http or https). */
  submodules: Schema.optionalKey(Schema.Boolean),
  /** Also fetch Git LFS objects (only from the repository's own host, and from hosts that the operator allows). */
  lfs: Schema.optionalKey(Schema.Boolean)
}) {}
