/**
 * How Gitea is run: as a user of its own (it refuses root), in a mount namespace in which that user reaches the program and
 * the data, whoever owns the folders above them.
 */
import { randomBytes } from "node:crypto"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { run } from "./Command.ts"

export interface GiteaProgramOptions {
  /** Folder of the program and of its templates. */
  readonly programs: string
  /** Folder of all that it keeps. */
  readonly data: string
  /** `http://127.0.0.1:PORT`: where it listens. */
  readonly url: string
}

export interface GiteaProgram extends GiteaProgramOptions {
  readonly command: (...args: ReadonlyArray<string>) => {
    readonly command: string
    readonly args: ReadonlyArray<string>
    readonly env: Readonly<Record<string, string>>
  }
}

/** Neither in /etc/passwd nor anybody else's. */
const user = "64910"
/** Where it sees the program and its data. */
const view = { programs: "/mnt/gitea/programs", data: "/mnt/gitea/data" }
const administrator = "mcpdeploy"

const script = `set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p ${view.programs} ${view.data}
mount --bind "$GITEA_PROGRAMS" ${view.programs}
mount --bind "$GITEA_DATA" ${view.data}
cd ${view.data}
exec setpriv --reuid ${user} --regid ${user} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \\
  ${view.programs}/gitea "$@"
`

export const make = (options: GiteaProgramOptions): GiteaProgram => ({
  ...options,
  command: (...args) => ({
    command: "unshare",
    args: ["--mount", "--", "sh", "-c", script, "gitea", "--config", `${view.data}/app.ini`, ...args],
    env: {
      GITEA_PROGRAMS: options.programs,
      GITEA_DATA: options.data,
      GITEA_WORK_DIR: view.data,
      HOME: view.data,
      USER: "gitea"
    }
  })
})

/** What Gitea is told. Mirrors may come from, and webhooks go to, the machine itself: everything here is one person's. */
const configuration = (url: string, secrets: { readonly key: string; readonly internal: string }): string => `
APP_NAME = mcpdeploy local region
RUN_MODE = prod
RUN_USER = gitea
WORK_PATH = ${view.data}
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = ${new URL(url).port}
ROOT_URL = ${url}/
STATIC_ROOT_PATH = ${view.programs}
OFFLINE_MODE = true
DISABLE_SSH = true
[database]
DB_TYPE = sqlite3
PATH = ${view.data}/gitea.db
SQLITE_JOURNAL_MODE = WAL
[security]
INSTALL_LOCK = true
SECRET_KEY = ${secrets.key}
INTERNAL_TOKEN = ${secrets.internal}
[oauth2]
ENABLED = false
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback,private
DELIVER_TIMEOUT = 5
[migrations]
ALLOW_LOCALNETWORKS = true
[mirror]
MIN_INTERVAL = 1m
[actions]
ENABLED = false
[packages]
ENABLED = false
[log]
MODE = console
LEVEL = Info
`

/** Writes the configuration, makes the database and its administrator, and puts a token of his into `tokenFile`. Idempotent. */
export const prepare = Effect.fn("GiteaProgram.prepare")(function* (gitea: GiteaProgram, tokenFile: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(gitea.data, { recursive: true })
  const secretsFile = join(dirname(gitea.data), "secrets")
  if (!(yield* fs.exists(secretsFile))) {
    const made = [randomBytes(32), randomBytes(32)].map((bytes) => bytes.toString("hex")).join("\n")
    yield* fs.writeFileString(`${secretsFile}.part`, made, { mode: 0o600 })
    yield* fs.rename(`${secretsFile}.part`, secretsFile)
  }
  const [key = "", internal = ""] = (yield* fs.readFileString(secretsFile)).split("\n")
  const ini = join(gitea.data, "app.ini")
  yield* fs.writeFileString(ini, configuration(gitea.url, { key, internal }), { mode: 0o600 })
  yield* run("chown", [`${user}:${user}`, gitea.data, ini])
  if (yield* fs.exists(tokenFile)) return
  const call = (...args: ReadonlyArray<string>) => {
    const { args: all, command, env } = gitea.command(...args)
    return run(command, all, { env })
  }
  yield* call("migrate")
  const users = yield* call("admin", "user", "list", "--admin")
  if (!users.includes(` ${administrator} `)) {
    yield* call(
      ...["admin", "user", "create", "--admin", "--username", administrator, "--random-password"],
      ...["--email", `${administrator}@localhost.localdomain`, "--must-change-password=false"]
    )
  }
  const output = yield* call(
    ...["admin", "user", "generate-access-token", "--username", administrator, "--raw", "--scopes", "all"],
    ...["--token-name", `region-${randomBytes(4).toString("hex")}`]
  )
  const token = /\b[0-9a-f]{40}\b/.exec(output)?.[0] ?? ""
  yield* fs.writeFileString(`${tokenFile}.part`, token, { mode: 0o600 })
  yield* fs.rename(`${tokenFile}.part`, tokenFile)
})
