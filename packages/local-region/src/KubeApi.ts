/** The few calls that setting up a cluster takes, over node:https with the admin's certificate. */
import { readFile } from "node:fs/promises"
import { request } from "node:https"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Network from "./Network.ts"

export class KubeApiFailed extends Schema.TaggedError<KubeApiFailed>()("KubeApiFailed", {
  call: Schema.String,
  /** Of the answer; absent when there was none. */
  status: Schema.optionalKey(Schema.Int),
  detail: Schema.String
}) {
  /** What a control plane that is still coming up says: it is not there, or does not have that namespace or kind yet. */
  get isNotYet(): boolean {
    return this.status === undefined || this.status === 404 || this.status === 429 || this.status >= 500
  }
  override get message(): string {
    return `${this.call}: ${this.detail}`
  }
}

interface Call {
  readonly method: "GET" | "PATCH" | "DELETE"
  readonly path: string
  readonly body?: unknown
  /** Default: the API server's own, inside the bundle; outside it is the forwarded one. */
  readonly port?: number
}

/** Calls the API server inside the bundle; the response's JSON text. */
export const call = Effect.fn("KubeApi.call")(function* (
  certificates: string,
  { method, path, body, port }: Call
) {
  const failed = (detail: string, status?: number) =>
    new KubeApiFailed({ call: `${method} ${path}`, detail, ...(status === undefined ? {} : { status }) })
  const [ca, cert, key] = yield* Effect.tryPromise({
    try: () =>
      Promise.all(["ca.crt", "admin.crt", "admin.key"].map((name) => readFile(join(certificates, name)))),
    catch: (cause) => failed(String(cause))
  })
  return yield* Effect.callback<string, KubeApiFailed>((resume) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port: port ?? Network.guestPorts.api,
        method,
        path,
        ca,
        cert,
        key,
        headers: body === undefined ? {} : { "content-type": "application/apply-patch+yaml" }
      },
      (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk: string) => (text += chunk))
        response.on("end", () =>
          resume(
            (response.statusCode ?? 500) < 300
              ? Effect.succeed(text)
              : Effect.fail(failed(`${response.statusCode} ${text.slice(0, 500)}`, response.statusCode))
          )
        )
      }
    )
    sent.on("error", (error) => resume(Effect.fail(failed(error.message))))
    sent.end(body === undefined ? undefined : JSON.stringify(body))
    return Effect.sync(() => sent.destroy())
  })
})

export interface KubeObject {
  /** The collection's path, such as `/api/v1/namespaces`. */
  readonly collection: string
  readonly object: {
    readonly apiVersion: string
    readonly kind: string
    readonly metadata: { readonly name: string } & Readonly<Record<string, unknown>>
  } & Readonly<Record<string, unknown>>
}

export const apply = (certificates: string, { collection, object }: KubeObject, port?: number) =>
  call(certificates, {
    ...(port === undefined ? {} : { port }),
    method: "PATCH",
    path: `${collection}/${object.metadata.name}?fieldManager=mcpdeploy-local-region&force=true`,
    body: object
  })

/**
 * The same once the API server has what the object needs: it makes `kube-system` by itself just after it is ready, and serves a
 * new kind some moments after that was defined. However busy the machine is, the state decides, and the deadline of a start.
 */
export const applyWhenServed = (certificates: string, object: KubeObject, port?: number) =>
  apply(certificates, object, port).pipe(
    Effect.retry({ schedule: Schedule.spaced("200 millis"), while: ({ isNotYet }) => isNotYet }),
    Effect.timeoutOrElse({
      duration: "90 seconds",
      orElse: () =>
        Effect.fail(
          new KubeApiFailed({
            call: `${object.object.kind} ${object.object.metadata.name}`,
            detail: "the API server did not serve it within 90 seconds"
          })
        )
    })
  )
