/** A real git host for tests: `git http-backend` behind a small HTTP server, with basic auth and faults on request. */
import { execFileSync, spawn } from "node:child_process"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"

export interface GitServerOptions {
  /** Folder with bare repositories. */
  readonly root: string
  /** Asked for where it is set. */
  readonly credentials?: { readonly username: string; readonly password: string }
  /** Speak protocol version 0, which gives no commit by its bare name. */
  readonly oldProtocol?: boolean
  /** Answers a request itself: true when it did. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean
}

export interface GitServer {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** `METHOD path` of each request. */
  readonly requests: Array<string>
  /** The `authorization` header of each request. */
  readonly authorizations: Array<string | undefined>
}

const backend = (options: GitServerOptions, request: IncomingMessage, response: ServerResponse) => {
  const url = new URL(request.url ?? "/", "http://localhost")
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"] ?? "",
      GIT_PROJECT_ROOT: options.root,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      REQUEST_METHOD: request.method ?? "GET",
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
      ...(options.oldProtocol === true ? {} : { GIT_PROTOCOL: String(request.headers["git-protocol"] ?? "") })
    },
    stdio: ["pipe", "pipe", "ignore"]
  })
  request.pipe(child.stdin)
  child.stdin.on("error", () => undefined)
  response.on("close", () => child.kill("SIGKILL"))
  let head = Buffer.alloc(0)
  let sent = false
  child.stdout.on("data", (chunk: Buffer) => {
    if (sent) {
      if (!response.write(chunk)) {
        child.stdout.pause()
        response.once("drain", () => child.stdout.resume())
      }
      return
    }
    head = Buffer.concat([head, chunk])
    const end = head.indexOf("\r\n\r\n")
    if (end === -1) return
    const headers = head
      .toString("latin1", 0, end)
      .split("\r\n")
      .map((line): [string, string] => [
        line.slice(0, line.indexOf(":")),
        line.slice(line.indexOf(":") + 1).trim()
      ])
    const status = headers.find(([name]) => name.toLowerCase() === "status")?.[1] ?? "200"
    response.writeHead(
      Number(status.slice(0, 3)),
      Object.fromEntries(headers.filter(([name]) => name !== "Status"))
    )
    response.write(head.subarray(end + 4))
    sent = true
  })
  child.stdout.on("end", () => response.end())
}

/** The server, for as long as the scope. */
export const gitServer = (options: GitServerOptions) =>
  Effect.acquireRelease(
    Effect.callback<GitServer & { readonly close: () => void }>((resume) => {
      const requests: Array<string> = []
      const authorizations: Array<string | undefined> = []
      const server = createServer((request, response) => {
        requests.push(`${request.method} ${request.url}`)
        authorizations.push(request.headers.authorization)
        if (options.intercept?.(request, response) === true) return
        const { credentials } = options
        if (credentials !== undefined) {
          const expected = `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`
          if (request.headers.authorization !== expected) {
            request.resume()
            response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end()
            return
          }
        }
        backend(options, request, response)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = address === null || typeof address === "string" ? 0 : address.port
        resume(
          Effect.succeed({
            url: `http://127.0.0.1:${port}`,
            host: `127.0.0.1:${port}`,
            requests,
            authorizations,
            close: () => {
              server.close()
              server.closeAllConnections()
            }
          })
        )
      })
    }),
    (server) => Effect.sync(server.close)
  )

const environment = {
  PATH: process.env["PATH"] ?? "",
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_AUTHOR_NAME: "Ann",
  GIT_AUTHOR_EMAIL: "ann@example.com",
  GIT_AUTHOR_DATE: "2026-01-02T03:04:05Z",
  GIT_COMMITTER_NAME: "Ann",
  GIT_COMMITTER_EMAIL: "ann@example.com",
  GIT_COMMITTER_DATE: "2026-01-02T03:04:05Z",
  GIT_ALLOW_PROTOCOL: "file"
}

/** Runs git in a repository that a test makes; returns what it prints. */
export const gitIn = (folder: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("git", ["-C", folder, ...args], {
    env: environment,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"]
  }).trim()

export const writeFiles = (folder: string, files: Readonly<Record<string, string | Buffer>>): void => {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
}

/** A bare repository with one commit on `main`. */
export const makeRepository = (
  path: string,
  files: Readonly<Record<string, string | Buffer>>
): { readonly commit: string } => {
  mkdirSync(path, { recursive: true })
  gitIn(path, "init", "--quiet", "--bare", "--initial-branch=main")
  return { commit: commitFiles(path, files) }
}

/** Commits files (added to those of the branch) to a branch of a bare repository. */
export const commitFiles = (
  path: string,
  files: Readonly<Record<string, string | Buffer>>,
  branch = "main",
  /** Further index entries, as `git update-index --index-info` reads them. */
  entries: ReadonlyArray<string> = []
): string => {
  const work = `${path}.work`
  mkdirSync(work, { recursive: true })
  writeFiles(work, files)
  const git = (...args: ReadonlyArray<string>) => gitIn(path, `--work-tree=${work}`, ...args)
  git("add", "--all", "--force")
  if (entries.length > 0) {
    execFileSync("git", ["-C", path, "update-index", "--index-info"], {
      env: environment,
      input: `${entries.join("\n")}\n`
    })
  }
  const tree = git("write-tree")
  let parent: ReadonlyArray<string> = []
  try {
    parent = ["-p", git("rev-parse", "--verify", "--quiet", `refs/heads/${branch}`)]
  } catch {
    // The branch's first commit.
  }
  const commit = git("commit-tree", tree, ...parent, "-m", `commit of ${branch}`)
  git("update-ref", `refs/heads/${branch}`, commit)
  return commit
}
