/** A domain when the certificate authority is away, and when who adds or removes it is killed. */
import { spawn } from "node:child_process"
import { assert, describe, layer } from "@effect/vitest"
import { CustomObjectsApi, KubeConfig } from "@kubernetes/client-node"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { DomainManager, DomainName } from "@mcpdeploy/core/DomainManager"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { objectName } from "../src/domains/CertificateObjects.ts"
import * as K3sDomainManager from "@mcpdeploy/provider-k3s/domains/K3sDomainManager"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import type { KubernetesApi } from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import {
  connectApi,
  deployPage,
  publish,
  region,
  regionConfig,
  regionLayer,
  variable,
  visit
} from "./support/AcmeRegion.ts"
import { faultyAuthority } from "./support/FaultyAuthority.ts"
import { targetOf } from "./support/Sample.ts"
import { titled } from "./support/TestCluster.ts"

const isFull = process.env["MCPDEPLOY_TEST_FULL"] === "1"

/** Names of one attempt of one test: another one never meets a namespace that is still going. */
const attempt = (name: string) => {
  const id = `${name}${Date.now().toString(36)}`
  return { id, target: targetOf(id, "p", "web"), claims: `mcpdeploy-faults-${id}`, zone: `${id}.com` }
}
type Attempt = ReturnType<typeof attempt>

/** Claims and budgets of this attempt alone. */
const managerFor = ({ claims: namespace }: Attempt, issuer: string, issueSeconds: number) =>
  Effect.map(
    Layer.build(
      K3sDomainManager.layer(
        new RegionConfig({
          ...regionConfig,
          domains: { ...regionConfig.domains, issuer, issueSeconds, namespace }
        })
      )
    ),
    (context) => Effect.provideContext(DomainManager, context)
  ).pipe(Effect.flatten)

const Named = Schema.Struct({ spec: Schema.Struct({ dnsNames: Schema.Array(Schema.String) }) })
/** The orders of a host that cert-manager has made and kept. */
const ordersOf = (api: KubernetesApi, target: ServiceTarget, host: string) =>
  Effect.map(api.list({ kind: kinds.Order, namespace: target.namespace, name: "" }), ({ items }) =>
    items.filter((item) => Schema.is(Named)(item) && item.spec.dnsNames.includes(host))
  )

const Ledgers = Schema.Struct({ data: Schema.Struct({ "ledger.json": Schema.String }) })
/** How often the budgets have counted a host, as the customer's and the account's. */
const counted = Effect.fn("counted")(function* (
  api: KubernetesApi,
  { claims: namespace }: Attempt,
  host: string
) {
  const { items } = yield* api.list({ kind: kinds.ConfigMap, namespace, name: "" })
  return items.flatMap((item) =>
    Schema.is(Ledgers)(item) ? [item.data["ledger.json"].split(`"host":"${host}"`).length - 1] : []
  )
})

/** What `cmctl renew` does. */
const renew = Effect.fn("renew")(function* (target: ServiceTarget, host: DomainName) {
  const config = new KubeConfig()
  config.loadFromFile(region?.kubeconfig ?? "")
  const objects = config.makeApiClient(CustomObjectsApi)
  const which = {
    ...{ group: "cert-manager.io", version: "v1", plural: "certificates" },
    ...{ namespace: target.namespace, name: objectName(host) }
  }
  yield* Effect.tryPromise(async () => {
    const live = await objects.getNamespacedCustomObjectStatus(which)
    const issuing = { type: "Issuing", status: "True", reason: "ManuallyTriggered", message: "test" }
    await objects.replaceNamespacedCustomObjectStatus({
      ...which,
      body: { ...live, status: { ...live.status, conditions: [...live.status.conditions, issuing] } }
    })
  })
})

const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>, is: (value: A) => boolean, seconds: number) =>
  effect.pipe(
    Effect.filterOrFail(is, (value) => JSON.stringify(value)),
    Effect.retry(Schedule.spaced("1 second").pipe(Schedule.upTo({ duration: `${seconds} seconds` })))
  )

const service = Effect.fn("service")(function* (name: string) {
  const api = yield* connectApi
  const made = yield* Effect.acquireRelease(
    Effect.sync(() => attempt(name)),
    ({ claims, target }) =>
      Effect.forEach([target.namespace, claims], (each) =>
        Effect.ignore(
          api.delete(
            { kind: kinds.Namespace, namespace: undefined, name: each },
            { propagation: "Background" }
          )
        )
      )
  )
  yield* deployPage(made.target, "page")
  return { api, made }
})

/** Adds or removes in a process that is killed before or after its n-th write. true when it was killed. */
const killed = (
  what: "add" | "remove",
  { claims, target }: Attempt,
  host: string,
  at: { readonly write: number; readonly when: "before" | "after" }
) =>
  Effect.callback<boolean>((resume) => {
    const script = new URL("./support/killedDomain.ts", import.meta.url).pathname
    const args = [what, target.owner.user, host, String(at.write), at.when, claims]
    const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "ignore", "inherit"] })
    child.once("exit", (_, signal) => resume(Effect.succeed(signal === "SIGKILL")))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const isReady = region !== undefined
describe.skipIf(!isReady)(titled("a domain and its faults", isReady, variable), () => {
  layer(regionLayer, { excludeTestServices: true, timeout: "60 seconds" })("against cert-manager", (it) => {
    it.effect(
      "waits for an authority that is away, says so, spends one order, and keeps its certificate when a renewal fails",
      () =>
        Effect.gen(function* () {
          const { api, made } = yield* service("outage")
          const { id, target, zone } = made
          const faulty = yield* faultyAuthority(api, `faulty-${id}`)
          const domains = yield* managerFor(made, faulty.issuer, 14)
          const host = DomainName.make(`www.${zone}`)
          yield* publish(zone, `* IN CNAME ${region?.acme.cnameTarget}.`)

          yield* faulty.cut
          const error = yield* Effect.flip(domains.add(target, host))
          assert.strictEqual(error._tag, "CertificateFailed")
          assert.isTrue(error.retryable)
          assert.match(error.message, /the certificate authority has not taken the order for \d+ s/)
          const waiting = yield* domains.status(target, host)
          assert.strictEqual(waiting.state, "issuing")
          assert.match(waiting.problem?.message ?? "", /the certificate authority has not taken the order/)

          yield* faulty.open
          const again = domains.add(target, host).pipe(Effect.retry({ times: 5 }))
          assert.strictEqual((yield* again).state, "served")
          assert.lengthOf(yield* ordersOf(api, target, host), 1)
          assert.deepStrictEqual(yield* counted(api, made, host), [1, 1, 1], "account, customer and domain")
          const { fingerprint } = yield* visit(host)

          yield* faulty.cut
          yield* renew(target, host)
          const renewing = yield* eventually(
            domains.status(target, host),
            ({ problem }) => problem?.message.includes("has not taken the order") === true,
            40
          )
          assert.strictEqual(renewing.state, "served")
          assert.strictEqual((yield* visit(host)).fingerprint, fingerprint)
          assert.strictEqual((yield* domains.add(target, host)).state, "served")
          assert.deepStrictEqual(yield* counted(api, made, host), [1, 1, 1])
          if (!isFull) return
          yield* faulty.open
          yield* eventually(visit(host), (now) => now.fingerprint !== fingerprint, 120)
          assert.isUndefined((yield* domains.status(target, host)).problem)

          const slow = DomainName.make(`slow.${zone}`)
          yield* faulty.hang
          const silent = yield* Effect.flip(domains.add(target, slow))
          assert.match(silent.message, /the certificate authority has not taken the order/)
          yield* faulty.goOn
          assert.strictEqual(
            (yield* domains.add(target, slow).pipe(Effect.retry({ times: 8 }))).state,
            "served"
          )
          assert.lengthOf(yield* ordersOf(api, target, slow), 1)
        }).pipe(Effect.scoped),
      300_000
    )

    it.effect(
      "converges after its process was killed at any write, with one order, and leaves nothing when it is removed",
      () =>
        Effect.gen(function* () {
          const { api, made } = yield* service("killed")
          const { target, zone } = made
          const domains = yield* managerFor(made, region?.acme.issuer ?? "", 100)
          yield* publish(zone, `* IN CNAME ${region?.acme.cnameTarget}.`)
          const last = isFull ? 14 : 4
          const points = Array.from({ length: last }, (_, index) => index + 1).flatMap((write) =>
            (["before", "after"] as const).map((when) => ({ write, when }))
          )
          const chosen = isFull ? points : points.filter(({ write }) => write === last)
          yield* Effect.forEach(
            chosen,
            Effect.fnUntraced(function* (at) {
              const host = DomainName.make(`${at.when}-${at.write}.${zone}`)
              const wasKilled = yield* killed("add", made, host, at)
              assert.strictEqual((yield* domains.add(target, host)).state, "served", host)
              assert.lengthOf(yield* ordersOf(api, target, host), 1, host)
              yield* visit(host)
              const removalKilled = yield* killed("remove", made, host, at)
              yield* domains.remove(target, host)
              if (isFull)
                process.stdout.write(`${host}: killed ${wasKilled}, removal killed ${removalKilled}\n`)
            }),
            { concurrency: isFull ? 5 : 2, discard: true }
          )
          assert.deepStrictEqual(yield* domains.list(target.owner), [])
          for (const kind of [kinds.Certificate, kinds.Order, kinds.CertificateRequest, kinds.Challenge]) {
            const left = api.list({ kind, namespace: target.namespace, name: "" })
            yield* eventually(left, ({ items }) => items.length === 0, 30)
          }
          for (const kind of [kinds.Ingress, kinds.Secret]) {
            const { items } = yield* api.list({ kind, namespace: target.namespace, name: "" })
            assert.deepStrictEqual(
              items.map(({ metadata }) => metadata.name).filter((name) => name.startsWith("domain-")),
              []
            )
          }
        }).pipe(Effect.scoped),
      600_000
    )
  })
})
