import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { HealthCheck } from "@mcpdeploy/core/domain/DeployRequest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { parse } from "yaml"
import { contains } from "@mcpdeploy/provider-k3s/apply/Apply"
import { EnvName } from "@mcpdeploy/core/domain/DeployRequest"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { RegionConfig } from "@mcpdeploy/provider-k3s/RegionConfig"
import { deployment, secretKey, verbatim } from "../src/manifests/Deployment.ts"
import { hashed, stamped } from "@mcpdeploy/provider-k3s/manifests/Manifest"
import { namespace, projectManifests } from "../src/manifests/Project.ts"
import { cpuQuantity, memoryQuantity, millicores } from "../src/manifests/Quantity.ts"
import { secret, secretName, serversScheme, service, serviceManifests } from "../src/manifests/Service.ts"
import { recordManifest } from "../src/apply/Record.ts"
import { commitOf, placeholders, region, sample, targetOf, workloadOf } from "./support/Sample.ts"

const templates = new URL("../../../regions/eu-central-1/k8s/templates/", import.meta.url)
const key = Redacted.make("key")

const rendered = Effect.gen(function* () {
  const name = secretName(sample, key)
  const fence = {
    generation: sample.generation,
    token: 7,
    record: {
      apiVersion: "v1",
      kind: "ConfigMap",
      name: sample.target.service,
      uid: placeholders["record-uid"] ?? ""
    }
  }
  const record = yield* recordManifest(sample.target, {
    generation: sample.generation,
    commit: sample.image.commit,
    token: 7,
    isPublic: true,
    restoredFrom: undefined,
    receipts: []
  })
  return [
    ...[namespace(sample.target.owner), ...projectManifests(sample.target.owner, region)].map(hashed),
    ...[secret(sample, name), ...serviceManifests(sample, region, name)].map((manifest) =>
      stamped(manifest, fence)
    ),
    record
  ]
})

const Json = Schema.decodeUnknownEffect(Schema.JsonObject)

/** The value at a path of keys; lists are entered at their first item. */
const at = (value: Schema.Json | undefined, ...path: ReadonlyArray<string>): Schema.Json | undefined =>
  path.reduce<Schema.Json | undefined>((inner, name) => {
    const object = Array.isArray(inner) ? inner[0] : inner
    return Schema.is(Schema.JsonObject)(object) ? object[name] : undefined
  }, value)

describe("the region's templates", () => {
  it.effect("are rendered exactly", () =>
    Effect.gen(function* () {
      const objects = yield* rendered
      const files = readdirSync(templates)
      assert.strictEqual(files.length, objects.length)
      for (const object of objects) {
        const kind = object.kind.toLowerCase()
        const file = kind === "networkpolicy" ? `${kind}-${object.metadata.name}` : kind
        const values: Record<string, string> = {
          ...placeholders,
          "secret-hash": secretName(sample, key).slice("my-service-env-".length),
          "config-hash": String(at(object, "metadata", "annotations", "mcpdeploy.dev/config-hash")),
          revision: String(at(object, "spec", "template", "metadata", "labels", "mcpdeploy.dev/revision"))
        }
        const text = readFileSync(new URL(`${file}.yaml`, templates), "utf8").replaceAll(
          /\{\{([a-z0-9-]+)\}\}/g,
          (_, name: string) => values[name] ?? assert.fail(`${file}: no value for ${name}`)
        )
        assert.deepStrictEqual(
          yield* Json(parse(text)),
          yield* Json(JSON.parse(JSON.stringify(object))),
          file
        )
      }
    })
  )
})

/** Kubernetes' own expansion (third_party/forked/golang/expansion/expand.go), with no variable defined. */
const expand = (input: string): string => {
  let output = ""
  for (let index = 0; index < input.length; index++) {
    const character = input.charAt(index)
    if (character !== "$" || index + 1 >= input.length) {
      output += character
      continue
    }
    const next = input.charAt(index + 1)
    if (next === "$") {
      output += "$"
      index += 1
    } else if (next === "(" && input.includes(")", index)) {
      output += "EXPANDED"
      index = input.indexOf(")", index)
    } else output += character
  }
  return output
}

describe("the Deployment", () => {
  it.prop("passes every value verbatim through Kubernetes' expansion", [Schema.String], ([value]) => {
    assert.strictEqual(expand(verbatim(value)), value)
  })

  it("keeps hostile values verbatim", () => {
    for (const value of [
      "$(PORT)",
      "$$(A)",
      "$",
      "$$",
      "a\nb: c",
      "'\"`\\",
      "{{ x }}",
      "$(",
      "*a &b !c",
      "\u2028"
    ])
      assert.strictEqual(expand(verbatim(value)), value)
  })

  it("tells the app its port, commit and host; plain values by value and secrets by reference", () => {
    const workload = workloadOf(targetOf("u", "p", "s"), 1, {
      run: { port: 3000, env: { Z: "2", A: "1" } },
      secrets: { TOKEN: "secret" }
    })
    const env = deployment(workload, region, "s-env-x").spec.template.spec.containers[0]?.env
    const host = platformHost(workload.target, region.platformDomain)
    assert.deepStrictEqual(env, [
      { name: "PORT", value: "3000" },
      { name: "A", value: "1" },
      { name: "MCPDEPLOY_HOST", value: host },
      { name: "MCPDEPLOY_URL", value: `https://${host}` },
      { name: "SOURCE_COMMIT", value: commitOf(1) },
      { name: "Z", value: "2" },
      { name: "TOKEN", valueFrom: { secretKeyRef: { name: "s-env-x", key: "TOKEN" } } }
    ])
  })

  it("tells a service that is not public no host, and leaves variables of the service's own as they are", () => {
    const own = { SOURCE_COMMIT: "v1", MCPDEPLOY_HOST: "www.example.com" }
    const workload = workloadOf(targetOf("u", "p", "s"), 1, {
      run: { env: own, public: false },
      secrets: { MCPDEPLOY_URL: "x" }
    })
    assert.deepStrictEqual(deployment(workload, region, "s-env-x").spec.template.spec.containers[0]?.env, [
      { name: "PORT", value: "8080" },
      { name: "MCPDEPLOY_HOST", value: "www.example.com" },
      { name: "SOURCE_COMMIT", value: "v1" },
      { name: "MCPDEPLOY_URL", valueFrom: { secretKeyRef: { name: "s-env-x", key: "MCPDEPLOY_URL" } } }
    ])
  })

  it("names the address at which a local ingress is reached", () => {
    const local = new RegionConfig({ ...region, ingressEndpoint: "http://127.0.0.1:8000" })
    const workload = workloadOf(targetOf("u", "p", "s"), 1)
    const env = deployment(workload, local, undefined).spec.template.spec.containers[0]?.env ?? []
    const host = platformHost(workload.target, region.platformDomain)
    assert.deepInclude(env, { name: "MCPDEPLOY_HOST", value: host })
    assert.deepInclude(env, { name: "MCPDEPLOY_URL", value: `http://${host}:8000` })
  })

  it.prop(
    "keeps each secret under a key that a Secret may have, and no two under one",
    [Schema.Array(EnvName)],
    ([names]) => {
      const variables = [...new Set([...names, ...names.map(secretKey)])]
      const keys = variables.map(secretKey)
      // from the API server's IsConfigMapKey
      for (const key of keys) assert.match(key, /^(?!\.$|\.\.)[-._a-zA-Z0-9]{1,253}$/)
      assert.strictEqual(new Set(keys).size, variables.length)
    }
  )

  it("keeps names that are keys, as earlier deploys' Secrets have them", () => {
    for (const name of ["TOKEN", "_a1", "spring.datasource.password", "app-mode"])
      assert.strictEqual(secretKey(name), name)
  })

  const probesOf = (run: Parameters<typeof workloadOf>[2] & object) => {
    const [container] = deployment(workloadOf(targetOf("u", "p", "s"), 1, run), region, undefined).spec
      .template.spec.containers
    return [container?.readinessProbe, container?.livenessProbe]
  }
  const asksAMinute = (probes: ReturnType<typeof probesOf>) =>
    probes.reduce((sum, probe) => sum + 60 / (probe?.periodSeconds ?? 0), 0)

  it("is asked at most 10 times a minute, and at most as often as its health check says", () => {
    assert.isAtMost(asksAMinute(probesOf({})), 10)
    assert.isAtMost(asksAMinute(probesOf({ run: { healthCheck: new HealthCheck({ path: "/" }) } })), 10)
    const slow = new HealthCheck({ path: "/", periodSeconds: 300 })
    assert.isAtMost(asksAMinute(probesOf({ run: { healthCheck: slow } })), 0.4)
  })

  it("is asked by the protocol that it speaks", () => {
    const [http] = probesOf({ run: { healthCheck: new HealthCheck({ path: "/up" }) } })
    assert.strictEqual(http?.httpGet?.path, "/up")
    const [grpc] = probesOf({
      run: { protocol: "h2c", healthCheck: new HealthCheck({ grpcService: "shop.v1.Cart" }) }
    })
    assert.deepInclude(grpc, { grpc: { port: 8080, service: "shop.v1.Cart" } })
    const [tcp] = probesOf({ run: { protocol: "h2c" } })
    assert.deepInclude(tcp, { tcpSocket: { port: 8080 } })
  })

  it("is sandboxed, without a token, and never has fewer pods than wanted during a rollout", () => {
    const { spec } = deployment(sample, region, undefined)
    assert.strictEqual(spec.template.spec.runtimeClassName, "gvisor")
    assert.isFalse(spec.template.spec.automountServiceAccountToken)
    assert.isFalse(spec.template.spec.enableServiceLinks)
    assert.deepStrictEqual(spec.strategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 })
    assert.notInclude(JSON.stringify(spec), "securityContext")
  })

  it("names a new revision for a new image, and the same one for a new generation", () => {
    const target = targetOf("u", "p", "s")
    const revision = (generation: number, commit: number) =>
      deployment(workloadOf(target, generation, { commit: commitOf(commit) }), region, undefined).spec
        .template.metadata.labels["mcpdeploy.dev/revision"]
    assert.strictEqual(revision(1, 1), revision(2, 1))
    assert.notStrictEqual(revision(1, 1), revision(1, 2))
  })
})

describe("the Service", () => {
  it("says that the app speaks HTTP/2 without TLS, to Kubernetes and to Traefik", () => {
    const target = targetOf("u", "p", "s")
    const h2c = service(workloadOf(target, 1, { run: { protocol: "h2c" } }))
    assert.strictEqual(h2c.spec.ports[0]?.appProtocol, "kubernetes.io/h2c")
    assert.deepStrictEqual(h2c.metadata.annotations, { [serversScheme]: "h2c" })
    for (const run of [{}, { protocol: "http" }] as const) {
      const http = service(workloadOf(target, 1, { run }))
      assert.notProperty(http.spec.ports[0], "appProtocol")
      assert.notProperty(http.metadata, "annotations")
    }
  })
})

describe("the Secret", () => {
  it("gets another name with other values, another name or another key", () => {
    const target = targetOf("u", "p", "s")
    const name = (secrets: Record<string, string>, text = "key") =>
      secretName(workloadOf(target, 1, { secrets }), Redacted.make(text))
    assert.strictEqual(name({ A: "1", B: "2" }), name({ B: "2", A: "1" }))
    assert.strictEqual(
      new Set([
        name({ A: "1" }),
        name({ A: "2" }),
        name({ B: "1" }),
        name({ A: "1" }, "other"),
        name({ A: "1", B: "" })
      ]).size,
      5
    )
  })
})

describe("quantities", () => {
  it("are in the API server's canonical form", () => {
    assert.deepStrictEqual(
      ["500m", "1000m", "2", "0.5", ".25", "1.5", "0.0001"].map((cpu) => cpuQuantity(millicores(cpu))),
      ["500m", "1", "2", "500m", "250m", "1500m", "1m"]
    )
    assert.deepStrictEqual(["1024Mi", "512Mi", "1Gi", "1048576Ki", "1024Gi"].map(memoryQuantity), [
      "1Gi",
      "512Mi",
      "1Gi",
      "1Gi",
      "1Ti"
    ])
  })
})

describe("contains", () => {
  it("finds every wanted field, and takes a left out empty value for an empty one", () => {
    assert.isTrue(contains({ a: 1, b: { c: [1, { d: 2 }] } }, { b: { c: [1, {}] } }))
    assert.isTrue(contains({ a: 1 }, { a: 1, b: "", c: [], d: {} }))
    assert.isFalse(contains({ a: [1, 2] }, { a: [1] }))
    assert.isFalse(contains({ a: 1 }, { a: 1, b: 0 }))
    assert.isFalse(contains({ a: "1" }, { a: 1 }))
  })
})
