/** A deployer-server on a real socket. At the edge of the contract, pushes are kept as the services' workflows would keep them. */
import { createHmac, createSecretKey, randomUUID } from "node:crypto"
import { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import { Ancestry } from "@mcpdeploy/server/Ancestry"
import { Deliveries, type DeliveriesConfig } from "@mcpdeploy/server/Deliveries"
import type { Forge } from "@mcpdeploy/server/Forge"
import { type HttpConfig, serve } from "@mcpdeploy/server/HttpServer"
import { PushSink, type SinkUnavailable } from "@mcpdeploy/server/PushSink"
import { RepositoryIndex } from "@mcpdeploy/server/RepositoryIndex"
import { WebhookSecrets } from "@mcpdeploy/server/WebhookSecrets"
import { Ledger } from "@mcpdeploy/temporal-adapter/workflows/Ledger"
import type { Push } from "@mcpdeploy/temporal-contract/contract"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { request as requestOver } from "undici"

export const masters = { github: "github-master-0123456789", gitea: "gitea-master-0123456789" }
export const previous = "gitea-master-before-0123"

export const secretOf = (forge: Forge, repository: string, master = masters[forge]): string =>
  createHmac("sha256", master).update(`mcpdeploy ${forge} webhook ${repository.toLowerCase()}`).digest("hex")

/** A service of `acme/web`, or of what `change` says. */
export const requestOf = (change: Record<string, unknown> = {}): DeployRequest =>
  Schema.decodeSync(DeployRequest)({
    owner: { user: "ann", project: "shop" },
    service: "web",
    source: { repository: { url: "https://git.example/acme/web.git" }, ref: "main" },
    build: {},
    run: { port: 8080 },
    generation: 1,
    ...change
  })

export interface Recorded {
  readonly pushes: Array<{ readonly service: string; readonly push: Push }>
  readonly ledgers: Map<string, Ledger>
  /** What a submit waits for, or fails with. */
  behaviour: Effect.Effect<void, SinkUnavailable>
  isConnected: boolean
}

const sinkOf = (recorded: Recorded) =>
  Layer.succeed(PushSink, {
    submit: ({ owner, service }, unversioned) =>
      Effect.andThen(
        Effect.suspend(() => recorded.behaviour),
        Effect.sync(() => {
          const key = `${owner.user}/${owner.project}/${service}`
          const push = { ...unversioned, version: 1 }
          recorded.pushes.push({ service: key, push })
          const ledger = recorded.ledgers.get(key) ?? new Ledger()
          ledger.accept(push)
          recorded.ledgers.set(key, ledger)
        })
      ),
    isConnected: () => recorded.isConnected
  })

export interface TestServerOptions {
  readonly requests?: ReadonlyArray<DeployRequest>
  readonly http?: Partial<HttpConfig>
  readonly deliveries?: Partial<DeliveriesConfig>
  /** Gitea's answer to whether a push only added commits. */
  readonly isForward?: boolean
}

export const testServer = Effect.fn("testServer")(function* (options: TestServerOptions = {}) {
  const recorded: Recorded = { pushes: [], ledgers: new Map(), behaviour: Effect.void, isConnected: true }
  const index = RepositoryIndex.layer(
    Stream.concat(Stream.succeed(options.requests ?? [requestOf()]), Stream.never)
  )
  const dependencies = Layer.mergeAll(
    Layer.succeed(References.MinimumLogLevel, "None"),
    Layer.succeed(
      WebhookSecrets,
      WebhookSecrets.make(
        new Map([
          ["github", [masters.github]],
          ["gitea", [masters.gitea, previous]],
          ["github.acme.own", ["own-secret-0123456789"]]
        ])
      )
    ),
    index,
    sinkOf(recorded),
    Layer.succeed(Ancestry, { isForward: () => Effect.succeed(options.isForward ?? true) })
  )
  const services = yield* Layer.build(
    Deliveries.layer({
      urls: { github: ["https://git.example"], gitea: ["https://git.example"] },
      maxInFlight: 256,
      ...options.deliveries
    }).pipe(Layer.provideMerge(dependencies))
  )
  const loaded = yield* RepositoryIndex.pipe(Effect.provide(services))
  while (!loaded.isLoaded()) yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 5)))
  const server = yield* serve(
    {
      host: "127.0.0.1",
      port: 0,
      bodyLimitBytes: 25_000_000,
      bufferBytes: 100_000_000,
      bodySeconds: 10,
      answerMs: 900,
      ...options.http
    },
    { isTemporalConnected: () => recorded.isConnected, isCatalogConnected: loaded.isConnected }
  ).pipe(Effect.provide(services))
  return { ...server, recorded, url: `http://127.0.0.1:${server.port}` }
})

export interface Sent {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
}

/** The headers of a delivery as the forge sends them. */
export const headersFor = (
  forge: Forge,
  body: Buffer | string,
  secret: string,
  { event = "push", id = randomUUID() }: { readonly event?: string; readonly id?: string } = {}
): Record<string, string> => {
  const digest = createHmac("sha256", createSecretKey(Buffer.from(secret)))
    .update(body)
    .digest("hex")
  return {
    "content-type": "application/json",
    ...(forge === "github"
      ? { "x-github-event": event, "x-github-delivery": id, "x-hub-signature-256": `sha256=${digest}` }
      : {
          "x-gitea-event": event,
          "x-gitea-delivery": id,
          "x-gitea-signature": digest,
          // As Gitea does.
          "x-github-event": event,
          "x-github-delivery": id,
          "x-hub-signature-256": `sha256=${digest}`
        })
  }
}

export const post = (url: string, headers: Record<string, string>, body: Buffer | string) =>
  Effect.promise(async (): Promise<Sent> => {
    const answer = await requestOver(url, { method: "POST", headers, body })
    return { status: answer.statusCode, body: await answer.body.text(), headers: answer.headers }
  })

export const sha = (digit: string): string => digit.repeat(40)

export interface PushOptions {
  readonly repository?: string
  readonly ref?: string
  readonly before?: string
  readonly after?: string
  readonly message?: string
  readonly paths?: ReadonlyArray<string>
  readonly more?: Record<string, unknown>
}

/** A push as both forges say it. */
export const pushBody = ({
  after = sha("b"),
  before = sha("a"),
  message = "change",
  more = {},
  paths = ["index.html"],
  ref = "refs/heads/main",
  repository = "acme/web"
}: PushOptions = {}): string => {
  const commit = { id: after, message, added: [], modified: paths, removed: [] }
  return JSON.stringify({
    ref,
    before,
    after,
    commits: [commit],
    head_commit: commit,
    repository: { full_name: repository, default_branch: "main" },
    ...more
  })
}
