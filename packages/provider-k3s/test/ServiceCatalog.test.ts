/** Against a real API server; controllers are not needed. */
import { assert, describe, layer } from "@effect/vitest"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import {
  BuildSpec,
  DeployRequest,
  Generation,
  RunSpec,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ProjectName, ServiceTarget, UserId } from "@mcpdeploy/core/domain/Identity"
import { GitRef, GitRepository, RepositoryUrl, SecretRef } from "@mcpdeploy/core/domain/Source"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import * as K3sServiceCatalog from "@mcpdeploy/provider-k3s/catalog/K3sServiceCatalog"
import { kinds } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  clusterLayer,
  clusterRegion,
  connect,
  freshTarget,
  kubeconfig,
  titled
} from "./support/TestCluster.ts"

const isReady = kubeconfig !== undefined

const urlOf = (target: ServiceTarget) =>
  RepositoryUrl.make(`https://git.example.com/Team/${target.owner.project}.git`)

const requestOf = (target: ServiceTarget, generation: number, port = 8080) =>
  new DeployRequest({
    owner: target.owner,
    service: target.service,
    source: new SourceSpec({
      repository: new GitRepository({ url: urlOf(target) }),
      ref: GitRef.make("main")
    }),
    build: new BuildSpec({}),
    run: new RunSpec({ port, secrets: { TOKEN: SecretRef.make("env:TOKEN") } }),
    generation: Generation.make(generation)
  })

const claimedTarget = Effect.tap(freshTarget(), (target) =>
  ClusterApplier.use((cluster) => cluster.claim(target))
)

const versionOf = (target: ServiceTarget) =>
  connect.pipe(
    Effect.flatMap((api) =>
      api.get({ kind: kinds.ConfigMap, namespace: target.namespace, name: `${target.service}.request` })
    ),
    Effect.map(({ metadata }) => metadata.resourceVersion),
    Effect.scoped
  )

describe.skipIf(!isReady)(titled("K3sServiceCatalog", isReady, "MCPDEPLOY_TEST_KUBECONFIG"), () => {
  layer(Layer.merge(clusterLayer, K3sServiceCatalog.layer(clusterRegion)), { excludeTestServices: true })(
    (it) => {
      it.effect("keeps the newest request, whatever the order and however many come at once", () =>
        Effect.gen(function* () {
          const catalog = yield* ServiceCatalog
          const target = yield* claimedTarget
          assert.isUndefined(yield* catalog.get(target))
          yield* Effect.forEach(
            [3, 9, 1, 7, 5, 9, 2],
            (n) => catalog.register(requestOf(target, n, 8000 + n)),
            {
              concurrency: "unbounded",
              discard: true
            }
          )
          assert.deepStrictEqual(yield* catalog.get(target), requestOf(target, 9, 8009))
        })
      )

      it.effect("writes nothing for the same request again, nor for an older one", () =>
        Effect.gen(function* () {
          const catalog = yield* ServiceCatalog
          const target = yield* claimedTarget
          yield* catalog.register(requestOf(target, 5))
          const before = yield* versionOf(target)
          yield* catalog.register(requestOf(target, 5))
          yield* catalog.register(requestOf(target, 4, 9000))
          assert.strictEqual(yield* versionOf(target), before)
          yield* catalog.register(requestOf(target, 6))
          assert.notStrictEqual(yield* versionOf(target), before)
        })
      )

      it.effect(
        "finds the services of a repository whatever the letter case and .git, and of a project",
        () =>
          Effect.gen(function* () {
            const catalog = yield* ServiceCatalog
            const target = yield* claimedTarget
            yield* catalog.register(requestOf(target, 5))
            const url = RepositoryUrl.make(
              urlOf(target)
                .toLowerCase()
                .replace(/\.git$/, "")
            )
            assert.deepStrictEqual(yield* catalog.ofRepository(url), [requestOf(target, 5)])
            assert.deepStrictEqual(yield* catalog.ofProject(target.owner), [requestOf(target, 5)])
            assert.isTrue((yield* catalog.all).some((request) => request.target.key === target.key))
            assert.deepStrictEqual(yield* catalog.ofRepository(RepositoryUrl.make(`${url}-other`)), [])
          })
      )

      it.effect("goes with its service", () =>
        Effect.gen(function* () {
          const catalog = yield* ServiceCatalog
          const target = yield* claimedTarget
          yield* catalog.register(requestOf(target, 5))
          yield* ClusterApplier.use((cluster) => cluster.delete(target))
          assert.isUndefined(yield* catalog.get(target))
          assert.deepStrictEqual(yield* catalog.ofRepository(urlOf(target)), [])
        })
      )

      it.effect("does not make a project again that was deleted", () =>
        Effect.gen(function* () {
          const catalog = yield* ServiceCatalog
          const target = yield* freshTarget()
          const error = yield* Effect.flip(catalog.register(requestOf(target, 5)))
          assert.strictEqual(error.reason._tag, "ServiceNotFound")
          assert.isUndefined(yield* catalog.get(target))
        })
      )

      it.effect("refuses another owner whose namespace has the same name", () =>
        Effect.gen(function* () {
          const catalog = yield* ServiceCatalog
          const target = yield* claimedTarget
          yield* catalog.register(requestOf(target, 5))
          const [head = "", ...rest] = target.owner.project.split("-")
          const other = new ServiceTarget({
            owner: new Owner({
              user: UserId.make(`${target.owner.user}-${head}`),
              project: ProjectName.make(rest.join("-"))
            }),
            service: target.service
          })
          const error = yield* Effect.flip(catalog.register(requestOf(other, 6)))
          assert.strictEqual(error.reason._tag, "NamespaceOwnedByOther")
          assert.strictEqual((yield* Effect.flip(catalog.get(other))).reason._tag, "NamespaceOwnedByOther")
          assert.deepStrictEqual(yield* catalog.get(target), requestOf(target, 5))
        })
      )
    }
  )
})
