/**
 * KubeConfig: how the API server is reached and with which credentials.
 *
 * Certificates, tokens, token files and a pod's own service account are read here. Whatever needs more (an exec plugin,
 * an auth provider, several merged files) is left to `@kubernetes/client-node`, and only then is it loaded: its import
 * takes 0.4 s and 88 MB, more than all the rest of a one-shot process.
 */
import { readFile } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, resolve } from "node:path"
import { ClusterConfigInvalid } from "@mcpdeploy/core/ClusterApplier"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Yaml from "effect/encoding/Yaml"

/** Where the API server is, and who asks. */
export interface ClusterAccess {
  /** Without a "/" at its end. */
  readonly server: string
  readonly tls: {
    readonly ca?: string | Buffer
    readonly cert?: string | Buffer
    readonly key?: string | Buffer
    readonly servername?: string
    readonly rejectUnauthorized: boolean
  }
  /** The `Authorization` header of the next request, where there is one: tokens rotate. */
  readonly authorization: Effect.Effect<string | undefined, ClusterConfigInvalid>
}

const Cluster = Schema.Struct({
  server: Schema.String,
  "certificate-authority": Schema.optionalKey(Schema.String),
  "certificate-authority-data": Schema.optionalKey(Schema.String),
  "insecure-skip-tls-verify": Schema.optionalKey(Schema.Boolean),
  "tls-server-name": Schema.optionalKey(Schema.String),
  "proxy-url": Schema.optionalKey(Schema.String)
})

const User = Schema.Struct({
  "client-certificate": Schema.optionalKey(Schema.String),
  "client-certificate-data": Schema.optionalKey(Schema.String),
  "client-key": Schema.optionalKey(Schema.String),
  "client-key-data": Schema.optionalKey(Schema.String),
  token: Schema.optionalKey(Schema.String),
  tokenFile: Schema.optionalKey(Schema.String),
  username: Schema.optionalKey(Schema.String),
  password: Schema.optionalKey(Schema.String),
  exec: Schema.optionalKey(Schema.Unknown),
  "auth-provider": Schema.optionalKey(Schema.Unknown)
})

const Context = Schema.Struct({ cluster: Schema.String, user: Schema.String })

const KubeConfigFile = Schema.Struct({
  "current-context": Schema.optionalKey(Schema.String),
  clusters: Schema.Array(Schema.Struct({ name: Schema.String, cluster: Cluster })),
  users: Schema.Array(Schema.Struct({ name: Schema.String, user: User })),
  contexts: Schema.Array(Schema.Struct({ name: Schema.String, context: Context }))
})

const invalid = (detail: string) => new ClusterConfigInvalid({ detail })

const read = (path: string) =>
  Effect.tryPromise({
    try: () => readFile(path),
    catch: (cause) =>
      invalid(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  })

const readText = (path: string) => Effect.map(read(path), (bytes) => bytes.toString("utf8").trim())

/** `data` in base64, or the content of the file at `path`; relative paths start at the kubeconfig's folder. */
const material = (data: string | undefined, path: string | undefined, folder: string) =>
  data !== undefined
    ? Effect.succeed(Buffer.from(data, "base64"))
    : path !== undefined
      ? read(resolve(folder, path))
      : Effect.undefined

const authorizationOf = (user: typeof User.Type, folder: string): ClusterAccess["authorization"] => {
  const { password, token, tokenFile, username } = user
  if (tokenFile !== undefined)
    return Effect.map(readText(resolve(folder, tokenFile)), (text) => `Bearer ${text}`)
  if (token !== undefined) return Effect.succeed(`Bearer ${token}`)
  if (username !== undefined)
    return Effect.succeed(`Basic ${Buffer.from(`${username}:${password ?? ""}`).toString("base64")}`)
  return Effect.undefined
}

/** What client-node knows and we do not: it also runs exec plugins, and again when their token has expired. */
const fromClientNode = Effect.fnUntraced(function* (path: string | undefined, context: string | undefined) {
  const { KubeConfig } = yield* Effect.promise(() => import("@kubernetes/client-node"))
  const config = new KubeConfig()
  const cluster = yield* Effect.try({
    try: () => {
      if (path === undefined) config.loadFromDefault()
      else config.loadFromFile(path)
      if (context !== undefined) config.setCurrentContext(context)
      return config.getCurrentCluster()
    },
    catch: (cause) => invalid(String(cause))
  })
  if (cluster === null) return yield* invalid("the kubeconfig names no current cluster")
  const options = Effect.tryPromise({
    try: async () => {
      const options: { headers: Record<string, string>; ca?: Buffer; cert?: Buffer; key?: Buffer } = {
        headers: {}
      }
      await config.applyToHTTPSOptions(options)
      return options
    },
    catch: (cause) =>
      invalid(`the kubeconfig's credentials: ${cause instanceof Error ? cause.message : String(cause)}`)
  })
  const { ca, cert, key } = yield* options
  return {
    server: cluster.server.replace(/\/+$/, ""),
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(cluster.tlsServerName === undefined ? {} : { servername: cluster.tlsServerName }),
      rejectUnauthorized: cluster.skipTLSVerify !== true
    },
    authorization: Effect.map(options, ({ headers }) => headers["Authorization"])
  } satisfies ClusterAccess
})

const fromFile = Effect.fnUntraced(function* (path: string, context: string | undefined) {
  const text = yield* readText(path)
  const parsed = yield* Effect.try({
    try: () => Yaml.parse(text),
    catch: (cause) => invalid(`${path}: ${String(cause)}`)
  })
  const file = yield* Schema.decodeUnknownEffect(KubeConfigFile)(parsed).pipe(
    Effect.mapError((error) => invalid(`${path} is no kubeconfig: ${error.message}`))
  )
  const name = context ?? file["current-context"]
  const found = file.contexts.find((entry) => entry.name === name)?.context
  if (found === undefined) return yield* invalid(`${path} has no context "${name ?? ""}"`)
  const cluster = file.clusters.find((entry) => entry.name === found.cluster)?.cluster
  const user = file.users.find((entry) => entry.name === found.user)?.user
  if (cluster === undefined) return yield* invalid(`${path} has no cluster "${found.cluster}"`)
  if (user === undefined) return yield* invalid(`${path} has no user "${found.user}"`)
  if (cluster["proxy-url"] !== undefined) return yield* invalid(`${path}: proxy-url is not supported`)
  if (user.exec !== undefined || user["auth-provider"] !== undefined)
    return yield* fromClientNode(path, context)
  const folder = dirname(resolve(path))
  const ca = yield* material(cluster["certificate-authority-data"], cluster["certificate-authority"], folder)
  const cert = yield* material(user["client-certificate-data"], user["client-certificate"], folder)
  const key = yield* material(user["client-key-data"], user["client-key"], folder)
  const servername = cluster["tls-server-name"]
  return {
    server: cluster.server.replace(/\/+$/, ""),
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      rejectUnauthorized: cluster["insecure-skip-tls-verify"] !== true
    },
    authorization: authorizationOf(user, folder)
  } satisfies ClusterAccess
})

/** Where Kubernetes puts a pod's own credentials. */
const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

const fromServiceAccount = Effect.fnUntraced(function* (host: string, port: string) {
  const ca = yield* read(`${serviceAccountFolder}/ca.crt`)
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    tls: { ca, rejectUnauthorized: true },
    // The token is short-lived and replaced in its file.
    authorization: Effect.map(readText(`${serviceAccountFolder}/token`), (token) => `Bearer ${token}`)
  } satisfies ClusterAccess
})

/** `kubeconfig` when given, else `KUBECONFIG`, else the pod's own service account, else `~/.kube/config`. */
export const load = Effect.fn("KubeConfig.load")(function* (options: {
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
}): Effect.fn.Return<ClusterAccess, ClusterConfigInvalid> {
  const path = options.kubeconfig ?? process.env["KUBECONFIG"]
  if (path !== undefined && path !== "")
    return yield* path.includes(":") && options.kubeconfig === undefined
      ? fromClientNode(undefined, options.context)
      : fromFile(path, options.context)
  const host = process.env["KUBERNETES_SERVICE_HOST"]
  if (host !== undefined)
    return yield* fromServiceAccount(host, process.env["KUBERNETES_SERVICE_PORT"] ?? "443")
  return yield* fromFile(`${homedir()}/.kube/config`, options.context)
})
