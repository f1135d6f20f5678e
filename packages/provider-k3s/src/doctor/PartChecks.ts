/** What can be wrong with a region's parts beside its cluster: builder, registry, ingress, Gitea. */
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { type BuildkitTls, endpointOf } from "@mcpdeploy/core/buildkit/Address"
import { connect } from "@mcpdeploy/core/buildkit/Control"
import * as OciRegistry from "@mcpdeploy/core/oci/OciRegistry"
import { Registry } from "@mcpdeploy/core/Registry"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { request } from "undici"
import { type Check, checked, failed, ok, warning } from "./Finding.ts"

export const builder = (address: string, tls: BuildkitTls | undefined): Check =>
  Effect.gen(function* () {
    const control = yield* connect(yield* endpointOf(address, tls))
    const { record } = yield* control.workers
    const [worker] = record
    return worker === undefined
      ? failed("builder", `buildkitd at ${address} has no worker`, "see its log: no build can run")
      : ok("builder", `buildkitd ${worker.BuildkitVersion?.version ?? ""} at ${address}`)
  }).pipe(
    Effect.scoped,
    checked("builder", `start buildkitd, or correct its address ${address} and its TLS files`)
  )

/** A repository that need not exist: a registry that answers says so. */
const anyRepository = { registry: internalRegistry, repository: "mcpdeploy/doctor" }

export const registry = (access: OciRegistry.RegistryAccess): Check =>
  Registry.use((found) => found.list(anyRepository)).pipe(
    Effect.as(ok("registry", `${internalRegistry} answers at ${access.url}`)),
    Effect.provide(
      OciRegistry.layer({ registries: { [internalRegistry]: access }, retries: 0, timeoutSeconds: 5 })
    ),
    checked("registry", "start the registry, or correct its endpoint and credentials in the region's file")
  )

class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", {
  url: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.url}: ${this.detail}`
  }
}

const statusOf = (url: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await request(url, { headers, signal })
      await answer.body.dump()
      return answer.statusCode
    },
    catch: (cause) => new NoAnswer({ url, detail: cause instanceof Error ? cause.message : String(cause) })
  })

export const ingress = (endpoint: string): Check =>
  // A host that no service has: the controller answers for itself.
  statusOf(endpoint, { host: "doctor.invalid" }).pipe(
    Effect.map((status) =>
      status === 404
        ? ok("ingress", `${endpoint} answers`)
        : warning(
            "ingress",
            `${endpoint} answers ${status} for a host that no service has, where an ingress controller says 404`,
            "see what listens there: it should be the region's ingress controller"
          )
    ),
    checked("ingress", "see that the ingress controller runs: no service is reachable without it")
  )

export const gitea = (url: string): Check =>
  statusOf(`${url.replace(/\/$/, "")}/api/healthz`).pipe(
    Effect.map((status) =>
      status === 200
        ? ok("gitea", `${url} is healthy`)
        : failed("gitea", `${url} says ${status} of its health`, "see its log: mirrors and their pushes stop")
    ),
    checked("gitea", "start Gitea, or correct its URL: pushes to mirrors are not seen without it")
  )
