/** A k3s region keeps every promise of its five contracts; on the region that the variables name. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe } from "@effect/vitest"
import { internalRegistry } from "@mcpdeploy/core/domain/Image"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { CommitSha, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { DomainName } from "@mcpdeploy/core/DomainManager"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { clusterApplierChecks } from "@mcpdeploy/provider-conformance/ClusterApplierChecks"
import type { ClusterConformance } from "@mcpdeploy/provider-conformance/ClusterSample"
import { domainManagerChecks } from "@mcpdeploy/provider-conformance/DomainManagerChecks"
import { gitSourceChecks } from "@mcpdeploy/provider-conformance/GitSourceChecks"
import { imageBuilderChecks } from "@mcpdeploy/provider-conformance/ImageBuilderChecks"
import { projectsChecks } from "@mcpdeploy/provider-conformance/ProjectsChecks"
import { receiptsChecks } from "@mcpdeploy/provider-conformance/ReceiptsChecks"
import { registryChecks } from "@mcpdeploy/provider-conformance/RegistryChecks"
import { describeConformance } from "@mcpdeploy/provider-conformance/Vitest"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { labels } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import { regionLayer } from "@mcpdeploy/provider-k3s/K3sRegion"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import {
  connectApi,
  deployPage,
  publish,
  region,
  regionLayer as acmeLayer,
  variable
} from "./support/AcmeRegion.ts"
import { copyImage } from "./support/CopyImage.ts"
import { targetOf } from "./support/Sample.ts"
import { titled } from "./support/TestCluster.ts"

const file = process.env["MCPDEPLOY_TEST_REGION"]
const isReady = file !== undefined && region !== undefined

let count = 0
const unique = Effect.sync(() => `${Date.now().toString(36).slice(-6)}${(count++).toString(36)}`)

const folder = (files: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const root = mkdtempSync(join(tmpdir(), "mcpdeploy-conformance-"))
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, name)), { recursive: true })
        writeFileSync(join(root, name), text)
      }
      return root
    }),
    (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
  )

const deleteNamespace = (name: string) =>
  connectApi.pipe(
    Effect.flatMap((api) =>
      api.delete({ kind: kinds.Namespace, namespace: undefined, name }, { propagation: "Background" })
    ),
    Effect.scoped,
    Effect.ignore
  )

const layer = Layer.unwrap(
  Effect.map(folder({}), (cacheFolder) => {
    const { buildkit, ingress, kubeconfig, registry } = Schema.decodeSync(
      Schema.fromJsonString(RegionEndpoints)
    )(readFileSync(file ?? "", "utf8"))
    return regionLayer({
      cluster: new RegionConfig({
        kubeconfig,
        platformDomain: PlatformDomain.make("localhost"),
        ingressEndpoint: ingress.http
      }),
      buildkit: { address: buildkit.address, concurrency: 4 },
      git: { cacheFolder, allowFile: true },
      registry: { url: registry.endpoint },
      pipeline: { buildTimeoutSeconds: 100, buildSecretKey: Redacted.make("test") }
    })
  })
).pipe(Layer.provideMerge(SecretStore.layer({})), Layer.provideMerge(NodeServices.layer))

const ownedKinds = [
  kinds.ConfigMap,
  kinds.Secret,
  kinds.Service,
  kinds.ServiceAccount,
  kinds.Deployment,
  kinds.Ingress,
  kinds.CronJob,
  kinds.Job
]

const cluster: ClusterConformance = {
  unique,
  cleanUp: ({ namespace }) => deleteNamespace(namespace),
  leftOf: ({ namespace, service }) =>
    Effect.gen(function* () {
      const api = yield* connectApi
      const lists = yield* Effect.forEach(ownedKinds, (kind) =>
        Effect.map(
          api.list({ kind, namespace, name: "" }, { label: `${labels.service}=${service}` }),
          ({ items }) => items.map(({ metadata }) => `${kind.kind} ${metadata.name}`)
        )
      )
      return lists.flat()
    }).pipe(Effect.scoped, Effect.orDie)
}

describe.skipIf(!isReady)(titled("k3s", isReady, `MCPDEPLOY_TEST_REGION or ${variable}`), () => {
  describeConformance("ClusterApplier", layer, clusterApplierChecks(cluster))
  describeConformance("Receipts", layer, receiptsChecks(cluster))
  describeConformance("Projects", layer, projectsChecks(cluster))

  describeConformance(
    "DomainManager",
    acmeLayer,
    domainManagerChecks({
      // A zone whose name servers answer, and that has no host in it.
      zone: Effect.flatMap(unique, (name) =>
        Effect.as(Effect.scoped(publish(`${name}.com`, "")), `${name}.com`)
      ),
      services: (many) =>
        Effect.forEach(
          Array.from({ length: many }),
          () =>
            Effect.gen(function* () {
              const name = yield* unique
              const target = yield* Effect.acquireRelease(
                Effect.sync(() => targetOf(`conform${name}`, "p", "web")),
                ({ namespace }) => deleteNamespace(namespace)
              )
              yield* deployPage(target, "page").pipe(Effect.provide(acmeLayer), Effect.orDie)
              return target
            }),
          { concurrency: 2 }
        ),
      reserved: DomainName.make("grafana.ml.ink")
    })
  )

  describeConformance(
    "GitSource",
    layer,
    gitSourceChecks({
      missing: new GitRepository({ url: RepositoryUrl.make("file:///nowhere/at/all.git") }),
      repository: (text) =>
        Effect.map(folder({ file: text }), (path) => {
          const git = (...args: ReadonlyArray<string>) =>
            execFileSync("git", ["-C", path, ...args], {
              encoding: "utf8",
              stdio: ["ignore", "pipe", "ignore"]
            })
          git("init", "-q", "-b", "main")
          git("add", ".")
          git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "one")
          return {
            repository: new GitRepository({ url: RepositoryUrl.make(`file://${path}`) }),
            commit: CommitSha.make(git("rev-parse", "HEAD").trim()),
            branch: (name) => Effect.sync(() => void git("branch", name))
          }
        })
    })
  )

  describeConformance(
    "ImageBuilder",
    layer,
    imageBuilderChecks({ folder, unique, withShell: (lines) => `FROM busybox\n${lines}` })
  )

  describeConformance(
    "Registry",
    layer,
    registryChecks({
      repository: (isLongest) =>
        Effect.gen(function* () {
          const name = yield* unique
          // With "registry.internal:5000/" a name has at most 255 characters (CNCF distribution).
          const repository = isLongest
            ? `dp-${"u".repeat(20)}-${name}`.padEnd(63, "p").concat(`/${"s".repeat(63)}`)
            : `dp-conform-${name}/web`
          const endpoint = region?.registry.endpoint ?? ""
          const copy = (from: string, tag: string) => copyImage(endpoint, from, repository, tag)
          return {
            repository: { registry: internalRegistry, repository },
            digests: [yield* copy("library/busybox", "latest"), yield* copy("library/node", "24")]
          } as const
        }).pipe(Effect.orDie)
    })
  )
})
