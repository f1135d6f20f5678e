/**
 * A process that adds or removes a domain, and is killed before its n-th write goes out or after it was answered.
 * Arguments: add|remove, user, host, n, before|after, namespace of claims.
 */
import diagnostics from "node:diagnostics_channel"
import { DomainManager, DomainName } from "@mcpdeploy/core/DomainManager"
import * as K3sDomainManager from "@mcpdeploy/provider-k3s/domains/K3sDomainManager"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Effect from "effect/Effect"
import { regionConfig } from "./AcmeRegion.ts"
import { targetOf } from "./Sample.ts"

const [what, user = "", host = "", write = "", when, namespace = ""] = process.argv.slice(2)

const isWrite = (message: unknown): boolean =>
  typeof message === "object" &&
  message !== null &&
  "request" in message &&
  typeof message.request === "object" &&
  message.request !== null &&
  "method" in message.request &&
  message.request.method !== "GET"

let writes = 0
const channel = when === "before" ? "undici:client:sendHeaders" : "undici:request:trailers"
diagnostics.subscribe(channel, (message) => {
  if (isWrite(message) && ++writes === Number(write)) process.kill(process.pid, "SIGKILL")
})

const program = Effect.gen(function* () {
  const domains = yield* DomainManager
  const [target, name] = [targetOf(user, "p", "web"), DomainName.make(host)]
  yield* what === "add" ? Effect.asVoid(domains.add(target, name)) : domains.remove(target, name)
}).pipe(
  Effect.provide(
    K3sDomainManager.layer(
      new RegionConfig({ ...regionConfig, domains: { ...regionConfig.domains, namespace } })
    )
  )
)

await Effect.runPromise(program)
