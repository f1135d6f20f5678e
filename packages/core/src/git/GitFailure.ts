/** What git says when it fails (LC_ALL=C) as a typed reason. */
import {
  CertificateNotTrusted,
  CredentialsRefused,
  CredentialsRequired,
  DiskFull,
  GitFailed,
  type GitReason,
  HostUnreachable,
  RepositoryCorrupt,
  RepositoryMoved,
  RepositoryNotFound,
  TransportNotAllowed
} from "./GitReason.ts"

/** What the operating system says when a disk or a quota is full. */
export const saysDiskFull = (text: string): boolean =>
  /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/.test(text)

/** The host does not give the commit by its bare name, or not so shallow: ask for its refs instead. */
export const refusesBareCommit = (text: string): boolean =>
  /unadvertised object|not our ref|does not support shallow|Couldn't find remote ref|no such remote ref/i.test(
    text
  )

type Rule = readonly [pattern: RegExp, reason: (detail: string, withCredentials: boolean) => GitReason]

/** Of several that match, the first counts: causes before their consequences. */
const rules: ReadonlyArray<Rule> = [
  [
    /certificate|SSL_ERROR|server verification failed|alert unknown ca/i,
    (detail) => new CertificateNotTrusted({ detail })
  ],
  [/returned error: 30[12378]/, () => new RepositoryMoved({})],
  [
    /Authentication failed|could not read (?:Username|Password)|returned error: 40[13]|HTTP Basic: Access denied/,
    (_detail, withCredentials) => (withCredentials ? new CredentialsRefused({}) : new CredentialsRequired({}))
  ],
  [
    /Could not resolve host|Failed to connect|Couldn't connect|Connection (?:refused|reset|timed out)|Recv failure|Send failure|Operation too slow|transfer closed|Empty reply|TLS connect|gnutls|returned error: (?:408|429|5\d\d)|unexpected disconnect|early EOF|RPC failed|hung up unexpectedly|not valid: is this a git repository|invalid server response|bad line length|protocol error|expected flush|unexpected flush/i,
    (detail) => new HostUnreachable({ detail })
  ],
  [
    /repository '.*' not found|Repository not found|returned error: 4(?:04|10)|does not appear to be a git repository/i,
    () => new RepositoryNotFound({})
  ],
  [
    /fsck error|index-pack failed|unpack-objects|inflate|corrupt|bad object|bad tree|did not match|disallowed|invalid path|pack has bad|hash mismatch|SHA1 COLLISION/i,
    (detail) => new RepositoryCorrupt({ detail })
  ]
]

/** The host's progress: `remote: Counting objects:  45% (9/20)`, `remote: Enumerating objects: 3, done.`, `remote: Total 3 (delta 0), …` */
const hostProgress = /^remote: *(?:$|[A-Z][a-z]+(?: [a-z]+)*: +\d+(?:%|[,.]|$)|Total \d+ \()/

const onOneLine = (text: string): string => text.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, 500)

/** The lines that say something: no progress, no hints. */
const detailOf = (stderr: string): string => {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => /^(?:fatal|error|remote):/.test(line) && !hostProgress.test(line))
    .map((line) => line.replace(/^(?:fatal|error): /, ""))
  return onOneLine(lines.length === 0 ? stderr.trim() : lines.slice(0, 3).join("; "))
}

/** What fsck found in an object that was fetched. What git says behind it is only that it gave up. */
const findingIn = (stderr: string): string | undefined => {
  const [, object, finding] = /^error: object ([0-9a-f]{40}): ([A-Za-z0-9]+: .*)$/m.exec(stderr) ?? []
  return object === undefined || finding === undefined
    ? undefined
    : `${onOneLine(finding)} (object ${object}); this can do harm: make the commit anew without it`
}

export interface FailedCall {
  readonly stderr: string
  readonly exitCode: number
  readonly withCredentials: boolean
  /** The folder to which git writes. */
  readonly folder: string
}

export const reasonOf = ({ stderr, exitCode, withCredentials, folder }: FailedCall): GitReason => {
  if (saysDiskFull(stderr)) return new DiskFull({ folder })
  const transport = /transport '([^']*)' not allowed/.exec(stderr)
  if (transport !== null) return new TransportNotAllowed({ protocol: transport[1] ?? "such" })
  const finding = findingIn(stderr)
  if (finding !== undefined) return new RepositoryCorrupt({ detail: finding })
  const rule = rules.find(([pattern]) => pattern.test(stderr))
  const detail = detailOf(stderr)
  return rule === undefined
    ? new GitFailed({ detail: detail === "" ? `git ended with exit code ${exitCode}` : `git: ${detail}` })
    : rule[1](detail, withCredentials)
}
