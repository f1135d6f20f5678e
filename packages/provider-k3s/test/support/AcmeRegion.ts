/** A region with certificates (`--with acme`): `MCPDEPLOY_TEST_REGION_ACME` names its region.json. */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connect } from "node:tls"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as K3sDomainManager from "@mcpdeploy/provider-k3s/domains/K3sDomainManager"
import * as K3sCluster from "@mcpdeploy/provider-k3s/K3sCluster"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as KubernetesApi from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { copyImage } from "./CopyImage.ts"
import { workloadOf } from "./Sample.ts"

const RegionFile = Schema.fromJsonString(
  Schema.Struct({
    kubeconfig: Schema.String,
    registry: Schema.Struct({ endpoint: Schema.String }),
    ingress: Schema.Struct({ http: Schema.String, https: Schema.String }),
    acme: Schema.Struct({
      nameServer: Schema.String,
      zones: Schema.String,
      root: Schema.String,
      issuer: Schema.String,
      cnameTarget: Schema.String,
      loadBalancer: Schema.String
    })
  })
)

export const variable = "MCPDEPLOY_TEST_REGION_ACME"
const path = process.env[variable]

/** undefined where there is none. */
export const region =
  path === undefined ? undefined : Schema.decodeSync(RegionFile)(readFileSync(path, "utf8"))

export const regionConfig = new RegionConfig({
  ...(region === undefined ? {} : { kubeconfig: region.kubeconfig, ingressEndpoint: region.ingress.http }),
  platformDomain: PlatformDomain.make("ml.ink"),
  domains: {
    issuer: region?.acme.issuer ?? "",
    cnameTarget: region?.acme.cnameTarget ?? "",
    loadBalancerAddresses: [region?.acme.loadBalancer ?? ""],
    nameServers: [region?.acme.nameServer ?? "127.0.0.1:1"],
    tlsEndpoint: new URL(region?.ingress.https ?? "https://127.0.0.1:1").host,
    issueSeconds: 60
  }
})

export const regionLayer = Layer.mergeAll(
  K3sCluster.layer(regionConfig),
  K3sDomainManager.layer(regionConfig)
)

export const connectApi = Effect.flatMap(KubeConfig.load(regionConfig), KubernetesApi.make)

/** Publishes a zone, until the scope closes; the name server looks every second. */
export const publish = (zone: string, records: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const file = join(region?.acme.zones ?? "", `db.${zone}`)
      const soa = `@ IN SOA ns hostmaster ${Math.floor(Date.now() / 1000)} 60 60 60 1`
      writeFileSync(file, `$ORIGIN ${zone}.\n$TTL 1\n${soa}\n@ IN NS ns\nns IN A 127.0.0.1\n${records}\n`)
      return file
    }),
    (file) => Effect.sync(() => rmSync(file, { force: true }))
  ).pipe(Effect.andThen(Effect.sleep("2500 millis")))

/** Deploys a page server. */
export const deployPage = Effect.fn("deployPage")(function* (target: ServiceTarget, page: string) {
  const applier = yield* ClusterApplier
  const digest = yield* copyImage(
    region?.registry.endpoint ?? "",
    "library/busybox",
    `${target.namespace}/${target.service}`
  )
  const command = [
    "sh",
    "-c",
    `mkdir /w; echo ${page} > /w/index.html; echo up; exec busybox httpd -f -p 8080 -h /w`
  ] as const
  const workload = workloadOf(target, 1, { digest, run: { command, memory: "64Mi" } })
  const applied = yield* applier.apply(workload)
  yield* applier.awaitRollout(workload, applied)
})

/** The page at `https://{host}/`, and the certificate's fingerprint, verified against the authority's root alone. */
export const visit = (host: string) =>
  Effect.callback<{ readonly page: string; readonly fingerprint: string }, Error>((resume) => {
    const endpoint = new URL(region?.ingress.https ?? "")
    const socket = connect({
      host: endpoint.hostname,
      port: Number(endpoint.port),
      servername: host,
      ca: readFileSync(region?.acme.root ?? "")
    })
    let text = ""
    let fingerprint = ""
    socket.setEncoding("utf8")
    socket.once("secureConnect", () => {
      fingerprint = socket.getPeerCertificate().fingerprint256
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    })
    socket.on("data", (chunk: string) => (text += chunk))
    socket.on("end", () => resume(Effect.succeed({ page: text, fingerprint })))
    socket.on("error", (error) => resume(Effect.fail(error)))
    return Effect.sync(() => socket.destroy())
  })
