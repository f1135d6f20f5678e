/**
 * A region of its own, for real: what is promised of `up`, `down` and of a kill, and of what builds may reach.
 * Needs root and the tools in the cache (`mcpdeploy local up` compiles them once).
 */
import { execFileSync } from "node:child_process"
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { createServer, get, type Server } from "node:http"
import { networkInterfaces, tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Bundle from "../src/Bundle.ts"
import { dataFolder, defaultCacheFolder } from "@mcpdeploy/local-region/DataFolder"
import * as KubeApi from "../src/KubeApi.ts"
import { LocalRegion } from "@mcpdeploy/local-region/LocalRegion"
import type { RegionEvent } from "@mcpdeploy/local-region/RegionEvent"
import type { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { toolFolder } from "../src/GoBuild.ts"
import { goTools } from "../src/Tools.ts"

const missing = goTools
  .filter((tool) => !existsSync(toolFolder(defaultCacheFolder(), tool)))
  .map(({ name }) => name)
const obstacle =
  process.getuid?.() !== 0
    ? "it needs root"
    : missing.length > 0
      ? `${missing.join(", ")} would have to be compiled first: run \`mcpdeploy local up\``
      : undefined

const root = mkdtempSync(join(tmpdir(), "mcpdeploy-region-"))
const folder = dataFolder(root)
const options = { dataFolder: root }
const namespace = "dp-test-region"
const host = "region.test"

const toolOf = (name: string): string => {
  const tool = goTools.find((each) => each.name === name)
  return tool === undefined ? "" : toolFolder(defaultCacheFolder(), tool)
}

const build = (endpoints: RegionEndpoints, dockerfile: string, ...more: ReadonlyArray<string>): string => {
  const context = mkdtempSync(join(root, "context-"))
  writeFileSync(join(context, "Dockerfile"), dockerfile)
  return execFileSync(
    join(toolOf("buildkit"), "buildctl"),
    [
      ...["--addr", endpoints.buildkit.address, "build", "--frontend", "dockerfile.v0", "--progress=plain"],
      ...["--local", `context=${context}`, "--local", `dockerfile=${context}`, ...more]
    ],
    { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 120_000 }
  )
}

/** The `--progress=plain` output of a build that is not pushed. */
const buildOutput = (endpoints: RegionEndpoints, dockerfile: string): string => {
  const context = mkdtempSync(join(root, "context-"))
  writeFileSync(join(context, "Dockerfile"), dockerfile)
  const command = `"$BUILDCTL" --addr "$ADDRESS" build --no-cache --frontend dockerfile.v0 --progress=plain --local context=. --local dockerfile=. 2>&1`
  return execFileSync("sh", ["-c", command], {
    cwd: context,
    encoding: "utf8",
    timeout: 120_000,
    env: { BUILDCTL: join(toolOf("buildkit"), "buildctl"), ADDRESS: endpoints.buildkit.address }
  })
}

const answer = (endpoints: RegionEndpoints) =>
  Effect.callback<string, string>((resume) => {
    const request = get(endpoints.ingress.http, { headers: { host } }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () =>
        resume(
          response.statusCode === 200
            ? Effect.succeed(text)
            : Effect.fail(`the ingress answers ${response.statusCode}`)
        )
      )
    })
    request.on("error", (error) => resume(Effect.fail(error.message)))
    return Effect.sync(() => request.destroy())
  }).pipe(Effect.retry(Schedule.spaced("200 millis")), Effect.timeout("60 seconds"))

const labels = { app: "web" }
const objects = (image: string): ReadonlyArray<KubeApi.KubeObject> => [
  {
    collection: "/api/v1/namespaces",
    object: { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } }
  },
  {
    collection: `/apis/apps/v1/namespaces/${namespace}/deployments`,
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web" },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            runtimeClassName: "gvisor",
            automountServiceAccountToken: false,
            containers: [{ name: "web", image, ports: [{ containerPort: 8080 }] }]
          }
        }
      }
    }
  },
  {
    collection: `/api/v1/namespaces/${namespace}/services`,
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] }
    }
  },
  {
    collection: `/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses`,
    object: {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: { name: "web" },
      spec: {
        ingressClassName: "traefik",
        rules: [
          {
            host,
            http: {
              paths: [
                { path: "/", pathType: "Prefix", backend: { service: { name: "web", port: { number: 80 } } } }
              ]
            }
          }
        ]
      }
    }
  }
]

/** Everything of this region that the machine still shows. */
const leftovers = (): ReadonlyArray<string> => [
  ...readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`DATA=${root}`)
      } catch {
        return false
      }
    })
    .map((pid) => `process ${pid}`),
  ...readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .filter((mount) => mount.includes(root)),
  ...Bundle.remainingCgroups(folder)
]

/** The machine's own network, as a region must leave it. */
const machineNetwork = (): string =>
  [
    Object.keys(networkInterfaces()).toSorted().join(),
    execFileSync("ip", ["-brief", "link"], { encoding: "utf8" }),
    execFileSync("ip", ["route", "show", "table", "all"], { encoding: "utf8" }),
    execFileSync("iptables-save", { encoding: "utf8" }).replace(/^#.*$/gm, "")
  ].join("\n")

const suite = (): void => {
  const first: { endpoints?: RegionEndpoints } = {}
  layer(LocalRegion.layer.pipe(Layer.provideMerge(NodeServices.layer)), { excludeTestServices: true })(
    (it) => {
      const before = machineNetwork()
      const started = LocalRegion.use((region) => region.up(options))

      it.effect(
        "comes up, and has nothing in the machine's own network",
        () =>
          Effect.gen(function* () {
            const events: Array<RegionEvent> = []
            const region = yield* LocalRegion
            const endpoints = yield* region.up({
              ...options,
              onEvent: (event) => Effect.sync(() => events.push(event))
            })
            first.endpoints = endpoints
            const tags = events.map(({ _tag }) => _tag)
            assert.strictEqual(tags[0], "ToolsPlanned")
            assert.strictEqual(tags.at(-1), "RegionReady")
            assert.include(tags, "BuildReady")
            assert.isAbove(endpoints.pid, 1)
            assert.strictEqual(machineNetwork(), before)
            assert.strictEqual((yield* region.status(options)).state, "up")
          }),
        240_000
      )

      it.effect("is not started again while it is up", () =>
        Effect.gen(function* () {
          const begun = performance.now()
          const again = yield* started
          assert.deepStrictEqual(again, first.endpoints)
          assert.isBelow(performance.now() - begun, 3000)
        })
      )

      it.effect(
        "runs an image that its BuildKit built under gVisor, behind its ingress",
        () =>
          Effect.gen(function* () {
            const endpoints = yield* started
            const image = `${endpoints.registry.name}/${namespace}/web:1`
            build(
              endpoints,
              'FROM busybox\nRUN mkdir /www && echo hello > /www/index.html\nCMD ["sh", "-c", "dmesg > /www/kernel; httpd -f -p 8080 -h /www"]\n',
              "--output",
              `type=image,name=${image},push=true`
            )
            const port = Number(
              new URL(JSON.parse(readFileSync(endpoints.kubeconfig, "utf8")).clusters[0].cluster.server).port
            )
            yield* Effect.forEach(objects(image), (each) => KubeApi.apply(folder.certificates, each, port))
            assert.strictEqual(yield* answer(endpoints), "hello\n")
            const pods = yield* KubeApi.call(folder.certificates, {
              method: "GET",
              path: `/api/v1/namespaces/${namespace}/pods`,
              port
            })
            const read = yield* Schema.decodeEffect(
              Schema.fromJsonString(
                Schema.Struct({
                  items: Schema.Array(
                    Schema.Struct({
                      spec: Schema.Struct({
                        runtimeClassName: Schema.String,
                        nodeSelector: Schema.Record(Schema.String, Schema.String)
                      })
                    })
                  )
                })
              )
            )(pods)
            assert.deepStrictEqual(read.items[0]?.spec, {
              runtimeClassName: "gvisor",
              nodeSelector: { "mcpdeploy.io/pool": "run" }
            })
          }),
        120_000
      )

      it.effect(
        "lets a build step reach the internet, but neither the machine nor the cluster",
        () =>
          Effect.gen(function* () {
            const endpoints = yield* started
            const own = Object.values(networkInterfaces())
              .flatMap((addresses) => addresses ?? [])
              .filter(({ family, internal }) => family === "IPv4" && !internal)
              .map(({ address }) => address)
            const server = yield* Effect.acquireRelease(
              Effect.callback<Server>((resume) => {
                const listening = createServer((_, response) => response.end("reached")).listen(
                  0,
                  "0.0.0.0",
                  () => resume(Effect.succeed(listening))
                )
              }),
              (listening) => Effect.sync(() => listening.close())
            )
            const address = server.address()
            const port = typeof address === "object" && address !== null ? address.port : 0
            const registry = new URL(endpoints.registry.endpoint).port
            const forbidden = [
              ...["127.0.0.1", "10.0.2.2", ...own].flatMap((each) => [
                `${each}:${port}`,
                `${each}:${registry}`
              ]),
              ...["10.42.0.1", "10.44.0.1", "10.45.0.1", "10.45.0.2", "10.0.2.100"].flatMap((each) => [
                `${each}:5000`,
                `${each}:5443`,
                `${each}:6443`,
                `${each}:80`
              ]),
              "10.43.0.1:443",
              "10.43.0.10:53",
              "169.254.169.254:80"
            ]
            const probes = forbidden.map(
              (each) => `(nc -w 2 ${each.replace(":", " ")} -e true && echo "REACHED ${each}") &`
            )
            // Shows that a probe that gets through is seen.
            const control = "nc -l -p 9 & sleep 1; nc -w 2 127.0.0.1 9 -e true && echo control"
            const output = buildOutput(
              endpoints,
              `FROM busybox\nRUN ${control}; ${probes.join(" ")} wait; grep nameserver /etc/resolv.conf; ip -o addr; echo probed\n`
            )
            assert.include(output, "probed")
            assert.match(output, /^#\d+ [\d.]+ control/m)
            assert.notMatch(output, /^#\d+ [\d.]+ REACHED/m)
            assert.include(output, "nameserver 10.0.2.3")
          }),
        120_000
      )

      it.effect(
        "leaves nothing when its init is killed, and comes up again with what it ran",
        () =>
          Effect.gen(function* () {
            const { pid } = yield* started
            process.kill(pid, "SIGKILL")
            yield* Effect.sync(leftovers).pipe(
              Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: (left) => left.length === 0 }),
              Effect.timeoutOrElse({
                duration: "15 seconds",
                orElse: () => Effect.sync(() => assert.deepStrictEqual(leftovers(), []))
              })
            )
            assert.strictEqual(machineNetwork(), before)
            const region = yield* LocalRegion
            assert.strictEqual((yield* region.status(options)).state, "down")
            const begun = performance.now()
            const endpoints = yield* started
            assert.isBelow(performance.now() - begun, 60_000)
            assert.notStrictEqual(endpoints.pid, pid)
            assert.strictEqual(yield* answer(endpoints), "hello\n")
          }),
        180_000
      )

      it.effect(
        "ends with a server that ends, says which and why, and comes up again for two who ask at once",
        () =>
          Effect.gen(function* () {
            const { pid } = yield* started
            const etcd = readdirSync("/proc").find((name) => {
              try {
                return readlinkSync(`/proc/${name}/cwd`) === folder.state("etcd")
              } catch {
                return false
              }
            })
            assert.isDefined(etcd)
            process.kill(Number(etcd), "SIGKILL")
            yield* Effect.sync(leftovers).pipe(
              Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: (left) => left.length === 0 }),
              Effect.timeout("30 seconds")
            )
            assert.include(readFileSync(folder.events, "utf8"), '"server":"etcd"')
            const [one, other] = yield* Effect.all([started, started], { concurrency: 2 })
            assert.deepStrictEqual(one, other)
            assert.notStrictEqual(one.pid, pid)
          }),
        180_000
      )

      it.effect("shows each server's log, and says which there are", () =>
        Effect.gen(function* () {
          const region = yield* LocalRegion
          const lines = yield* Stream.runCollect(region.logs({ ...options, server: "kubelet", lines: 5 }))
          assert.isAbove(lines.length, 0)
          const error = yield* Effect.flip(Stream.runCollect(region.logs({ ...options, server: "nothing" })))
          assert.include(error.message, "kube-apiserver")
        })
      )

      it.effect(
        "is gone after down, which may be called again",
        () =>
          Effect.gen(function* () {
            const region = yield* LocalRegion
            yield* region.down(options)
            assert.deepStrictEqual(leftovers(), [])
            assert.strictEqual(machineNetwork(), before)
            yield* region.down(options)
            assert.strictEqual((yield* region.status(options)).state, "down")
          }),
        60_000
      )
    }
  )
  afterAll(() => rmSync(root, { recursive: true, force: true }))
}

if (obstacle === undefined) describe("a region", suite)
else {
  rmSync(root, { recursive: true, force: true })
  describe.skip(`a region (SKIPPED: ${obstacle})`, suite)
}
