/** The cluster refuses what must not run: asked of a real API server, in a namespace without any label. */
import { assert, describe, expect, it, layer } from "@effect/vitest"
import { CoreV1Api, KubeConfig } from "@kubernetes/client-node"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { JobSpec } from "@mcpdeploy/core/domain/DeployRequest"
import type { KubernetesApi } from "@mcpdeploy/provider-k3s/kubernetes/KubernetesApi"
import { kinds, type ObjectRef } from "@mcpdeploy/provider-k3s/kubernetes/Kind"
import { admissionObjects } from "../src/manifests/Admission.ts"
import { admissionFile } from "../src/manifests/AdmissionFile.ts"
import { cronJobs, oneOffJob } from "../src/manifests/Jobs.ts"
import type { Manifest } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import { projectManifests } from "../src/manifests/Project.ts"
import { secret, serviceManifests } from "../src/manifests/Service.ts"
import {
  allowedObjects,
  allowedPods,
  container,
  forbiddenObjects,
  forbiddenPods,
  kind,
  objectOf,
  podKinds,
  podSpec
} from "./support/AdmissionCases.ts"
import { region, targetOf, workloadOf } from "./support/Sample.ts"
import { connect, kubeconfig, titled } from "./support/TestCluster.ts"

const objects = admissionObjects(region)

describe("the region's admission policies", () => {
  it("are written where a person and the local region find them", async () => {
    await expect(admissionFile(region.platformDomain)).toMatchFileSnapshot(
      "../../../regions/eu-central-1/k8s/admission.yaml"
    )
    await expect(`${JSON.stringify(objects, undefined, 2)}\n`).toMatchFileSnapshot(
      "../../local-region/toolchain/cluster/admission.json"
    )
  })

  it("fail closed, and every one of them is bound to deny", () => {
    const named = (of: string) =>
      objects.filter((each) => each.kind === of).map((each) => JSON.stringify(each["spec"]))
    assert.lengthOf(named("ValidatingAdmissionPolicy"), named("ValidatingAdmissionPolicyBinding").length)
    for (const spec of named("ValidatingAdmissionPolicy")) assert.include(spec, '"failurePolicy":"Fail"')
    for (const spec of named("ValidatingAdmissionPolicyBinding")) assert.include(spec, '["Deny"]')
  })
})

const policyKinds = {
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
  ValidatingAdmissionPolicyBinding: "validatingadmissionpolicybindings"
}
const clusterRef = (manifest: Manifest, plural: string): ObjectRef => ({
  kind: { kind: manifest.kind, apiVersion: manifest.apiVersion, plural, namespaced: false },
  namespace: undefined,
  name: manifest.metadata.name
})

interface Cluster {
  readonly api: KubernetesApi
  readonly core: CoreV1Api
  /** Of a customer by its name only: neither Pod Security nor a quota is in force. */
  readonly namespace: string
}
class UnderPolicies extends Context.Service<UnderPolicies, Cluster>()(
  "mcpdeploy/provider-k3s/test/UnderPolicies"
) {}

const owner = targetOf(`t${Date.now().toString(36)}`, "admission", "x").owner
const namespaceRef = { kind: kinds.Namespace, namespace: undefined, name: owner.namespace }
const bare = { apiVersion: "v1", kind: "Namespace", metadata: { name: owner.namespace } }
const pods = kind("Pod", "v1", "pods")

const refusalOf = (api: KubernetesApi, it: ReturnType<typeof kind>, manifest: Manifest) =>
  api
    .validate(manifest, {
      kind: it,
      namespace: it.namespaced ? owner.namespace : undefined,
      name: manifest.metadata.name
    })
    .pipe(
      Effect.as("accepted"),
      Effect.catchTag(["ObjectInvalid", "ClusterForbidden"], (refused) => Effect.succeed(refused.detail))
    )

const cluster = Layer.effect(
  UnderPolicies,
  Effect.gen(function* () {
    const api = yield* connect
    for (const object of objects) {
      const plural =
        object.kind === "ValidatingAdmissionPolicy"
          ? policyKinds.ValidatingAdmissionPolicy
          : policyKinds.ValidatingAdmissionPolicyBinding
      yield* api.apply(object, clusterRef(object, plural))
    }
    yield* Effect.acquireRelease(api.create(bare, namespaceRef), () =>
      Effect.ignore(api.delete(namespaceRef, { propagation: "Background" }))
    )
    const config = new KubeConfig()
    config.loadFromFile(kubeconfig ?? "")
    // A new policy is in force some time after it is stored.
    yield* refusalOf(
      api,
      pods,
      objectOf(pods, owner.namespace, { spec: { containers: [container()] } })
    ).pipe(
      Effect.filterOrFail((detail) => detail.includes("mcpdeploy-pods")),
      Effect.retry(Schedule.spaced("200 millis")),
      Effect.timeout("20 seconds")
    )
    return { api, core: config.makeApiClient(CoreV1Api), namespace: owner.namespace }
  })
)

/** What the API server says to a call that has to be refused. */
const saidTo = (call: () => Promise<object>) =>
  Effect.tryPromise(call).pipe(
    Effect.as("accepted"),
    Effect.catch((error) => Effect.succeed(String(error.cause))),
    // Controllers write to the pod meanwhile.
    Effect.repeat({ while: (said) => said.includes("the object has been modified"), times: 20 })
  )

const isReady = kubeconfig !== undefined
describe.skipIf(!isReady)(titled("admission", isReady, "MCPDEPLOY_TEST_KUBECONFIG"), () => {
  layer(cluster, { excludeTestServices: true })("with a cluster", (it) => {
    for (const [podKind, make] of podKinds) {
      it.effect(`refuses every forbidden field of a pod in a ${podKind.kind}`, () =>
        Effect.gen(function* () {
          const { api, namespace } = yield* UnderPolicies
          for (const [refusal, spec] of forbiddenPods) {
            const detail = yield* refusalOf(api, podKind, make(namespace, spec))
            assert.include(detail, "ValidatingAdmissionPolicy 'mcpdeploy-pods'", JSON.stringify(spec))
            assert.include(detail, refusal)
          }
          const gvisor = make(namespace, podSpec(), { "dev.gvisor.flag.network": "host" })
          assert.include(yield* refusalOf(api, podKind, gvisor), "must not configure gVisor")
        })
      )

      it.effect(`accepts what may run in a ${podKind.kind}`, () =>
        Effect.gen(function* () {
          const { api, namespace } = yield* UnderPolicies
          for (const [name, spec] of Object.entries(allowedPods))
            assert.strictEqual(yield* refusalOf(api, podKind, make(namespace, spec)), "accepted", name)
        })
      )
    }

    it.effect("refuses forbidden services, ingresses, secrets and rights", () =>
      Effect.gen(function* () {
        const { api, namespace } = yield* UnderPolicies
        for (const [refusal, it, fields, metadata] of forbiddenObjects) {
          const detail = yield* refusalOf(api, it, objectOf(it, namespace, fields, metadata))
          assert.include(detail, "ValidatingAdmissionPolicy 'mcpdeploy-", JSON.stringify(fields))
          assert.include(detail, refusal)
        }
      })
    )

    it.effect("accepts ordinary services, ingresses and secrets", () =>
      Effect.gen(function* () {
        const { api, namespace } = yield* UnderPolicies
        for (const [name, it, fields, metadata] of allowedObjects)
          assert.strictEqual(
            yield* refusalOf(api, it, objectOf(it, namespace, fields, metadata)),
            "accepted",
            name
          )
      })
    )

    it.effect("refuses a forbidden container that is added to a running pod, and a pod's token", () =>
      Effect.gen(function* () {
        const { api, core, namespace } = yield* UnderPolicies
        const pod = objectOf(pods, namespace, { spec: podSpec() })
        yield* api.create(pod, { kind: pods, namespace, name: "x" }).pipe(
          // The namespace's service account is made by a controller.
          Effect.retry({ schedule: Schedule.spaced("200 millis"), times: 50 })
        )
        const added = (securityContext: object) => () =>
          core.readNamespacedPod({ name: "x", namespace }).then((live) =>
            core.replaceNamespacedPodEphemeralcontainers({
              name: "x",
              namespace,
              dryRun: "All",
              body: {
                ...live,
                spec: {
                  ...live.spec,
                  containers: live.spec?.containers ?? [],
                  ephemeralContainers: [{ name: "e", image: "library/busybox", securityContext }]
                }
              }
            })
          )
        assert.include(yield* saidTo(added({ privileged: true })), "mcpdeploy-pods")
        assert.strictEqual(yield* saidTo(added({})), "accepted")
        const token = yield* saidTo(() =>
          core.createNamespacedServiceAccountToken({
            name: "default",
            namespace,
            body: { spec: { audiences: [] } }
          })
        )
        assert.include(token, "mcpdeploy-rights")
      })
    )

    it.effect("accepts everything that a deploy makes", () =>
      Effect.gen(function* () {
        const { api } = yield* UnderPolicies
        const job = new JobSpec({ schedule: "@daily", command: ["true"] })
        const workload = workloadOf(targetOf(owner.user, owner.project, "web"), 1, {
          secrets: { A: "b" },
          run: { jobs: { nightly: job } }
        })
        const made: ReadonlyArray<Manifest> = [
          ...projectManifests(owner, region),
          secret(workload, "web-env-x"),
          ...serviceManifests(workload, region, "web-env-x"),
          ...cronJobs(workload, region, "web-env-x"),
          oneOffJob(workload, region, {
            name: "web-run-x",
            secretName: "web-env-x",
            command: ["true"],
            deadlineSeconds: 60
          })
        ]
        for (const manifest of made) {
          const found = Object.values(kinds).find(({ kind }) => kind === manifest.kind)
          assert.strictEqual(
            found === undefined ? "" : yield* refusalOf(api, found, manifest),
            "accepted",
            manifest.kind
          )
        }
      })
    )

    it.effect("lets a namespace bear a customer's labels only under that customer's name", () =>
      Effect.gen(function* () {
        const { api } = yield* UnderPolicies
        const labels = { "mcpdeploy.dev/user": "a", "mcpdeploy.dev/project": "b" }
        const namespace = (name: string) => ({ ...bare, metadata: { name, labels } })
        assert.include(yield* refusalOf(api, kinds.Namespace, namespace("elsewhere")), "mcpdeploy-namespaces")
      })
    )
  })
})
