/** What the manifests of `regions/eu-central-1/k8s/deployer` let the worker do, on a real API server. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { decodeRegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import * as KubeConfig from "@mcpdeploy/provider-k3s/kubernetes/KubeConfig"
import * as Effect from "effect/Effect"
import { afterAll, assert, beforeAll, it } from "vitest"
import { describeOnRegion, mcpdeploy, regionFile, Repository, serviceFileOf, smallApp } from "./harness.ts"

const manifests = new URL("../../../../regions/eu-central-1/k8s/deployer/", import.meta.url).pathname
const account = "system:serviceaccount:dp-system:deployer-worker"

describeOnRegion("deployer-worker's account", () => {
  const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-rights-"))
  const repository = new Repository()
  const project = `rights-${Date.now().toString(36)}`
  const { buildkit, ingress, kubeconfig, registry } = JSON.parse(readFileSync(regionFile ?? "{}", "utf8"))
  const kubectl = async (...args: ReadonlyArray<string>) =>
    (await promisify(execFile)("kubectl", ["--kubeconfig", kubeconfig, ...args])).stdout.trim()

  /** A region's file for who has only the account's token. */
  const regionAs = async (name: string): Promise<string> => {
    const token = await kubectl("-n", "dp-system", "create", "token", name)
    const { server, tls } = await Effect.runPromise(KubeConfig.load({ kubeconfig }))
    const ownKubeconfig = join(folder, `${name}.kubeconfig`)
    writeFileSync(
      ownKubeconfig,
      JSON.stringify({
        "current-context": name,
        clusters: [
          {
            name: "region",
            cluster: { server, "certificate-authority-data": Buffer.from(tls.ca ?? "").toString("base64") }
          }
        ],
        users: [{ name, user: { token } }],
        contexts: [{ name, context: { cluster: "region", user: name } }]
      })
    )
    const file = join(folder, `${name}.json`)
    writeFileSync(
      file,
      JSON.stringify({
        cluster: { kubeconfig: ownKubeconfig, platformDomain: "localhost", ingressEndpoint: ingress.http },
        buildkit,
        registry: { endpoint: registry.endpoint },
        git: { allowFile: true }
      })
    )
    return file
  }
  let region = ""

  beforeAll(async () => {
    await kubectl("apply", "--server-side", "-f", join(manifests, "rbac.yaml"))
    region = await regionAs("deployer-worker")
    await Effect.runPromise(decodeRegionFile(readFileSync(region, "utf8")))
    repository.write({ ...smallApp(), "mcpdeploy.yaml": serviceFileOf(project) }).commit()
  })
  afterAll(() => {
    repository[Symbol.dispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  it("is enough to deploy, show, roll back and delete", async () => {
    for (const command of [["deploy"], ["status"], ["logs"], ["history"], ["delete", "--yes"]]) {
      const { code, stderr, stdout } = await mcpdeploy([
        "--region",
        region,
        ...repository.serviceFile,
        ...command
      ])
      assert.strictEqual(code, 0, `${command.join(" ")}: ${stdout}${stderr}`)
    }
  })

  it("is not enough for anything else", async () => {
    const allowed = async (...what: ReadonlyArray<string>) =>
      kubectl("auth", "can-i", ...what, `--as=${account}`, "-n", "dp-ann-shop").catch(() => "no")
    assert.strictEqual(await allowed("create", "deployments.apps"), "yes")
    for (const what of [
      ["create", "pods"],
      ["create", "pods", "--subresource=exec"],
      ["create", "serviceaccounts", "--subresource=token"],
      ["create", "rolebindings.rbac.authorization.k8s.io"],
      ["create", "clusterroles.rbac.authorization.k8s.io"],
      ["patch", "nodes"],
      ["create", "daemonsets.apps"],
      ["patch", "validatingadmissionpolicies.admissionregistration.k8s.io"],
      ["impersonate", "users"]
    ])
      assert.strictEqual(await allowed(...what), "no", what.join(" "))
  })

  it("writes in customers' namespaces only", async () => {
    const write = (namespace: string) =>
      kubectl(`--as=${account}`, "-n", namespace, "create", "configmap", "x", "--dry-run=server").then(
        () => "written",
        (error: unknown) => String(error)
      )
    for (const namespace of ["kube-system", "dp-system", "default"])
      assert.include(await write(namespace), "only in customers' namespaces", namespace)
    const namespaces = (name: string) =>
      kubectl(`--as=${account}`, "create", "namespace", name, "--dry-run=server").then(
        () => "written",
        (error: unknown) => String(error)
      )
    assert.strictEqual(await namespaces("dp-ann-new"), "written")
    assert.include(await namespaces("platform"), "only in customers' namespaces")
  })

  it("of the registry's collection lets it see what runs, and nothing more", async () => {
    const file = join(manifests, "registry-gc.yaml")
    await kubectl("apply", "--server-side", "-f", file)
    // Nothing runs of it here: the region has no node of the ops pool.
    try {
      const storage = join(dirname(regionFile ?? ""), "state/registry")
      const as = await regionAs("registry-gc")
      const run = await mcpdeploy(["--region", as, "registry", "gc", "--dry-run", "--storage", storage])
      assert.strictEqual(run.code, 0, run.stderr)
      const allowed = (...what: ReadonlyArray<string>) =>
        kubectl("auth", "can-i", ...what, "--as=system:serviceaccount:dp-system:registry-gc", "-A").catch(
          () => "no"
        )
      assert.strictEqual(await allowed("list", "pods"), "yes")
      for (const verb of ["get", "create", "patch", "delete"])
        for (const resource of ["secrets", "configmaps", "deployments.apps", "pods"])
          assert.strictEqual(await allowed(verb, resource), "no", `${verb} ${resource}`)
    } finally {
      await kubectl("delete", "--wait=false", "-f", file)
    }
  })

  it("is used by manifests that the cluster accepts", async () => {
    const applied = await kubectl("apply", "--dry-run=server", "--validate=strict", "-f", manifests)
    assert.include(applied, "deployment.apps/deployer-worker")
  })
})
