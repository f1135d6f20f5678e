/** A hostile app, in its sandbox: what it reaches, what it is told, and what it can find out about its neighbours. */
import { assert, it as test, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { get } from "node:http"
import { unique } from "./support/Builds.ts"
import * as Lure from "./support/Lure.ts"
import {
  deploy,
  describeAttacks,
  endpoints,
  ownerOf,
  project,
  region,
  regionConfig,
  targetOf
} from "./support/Region.ts"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { repository } from "./support/Repository.ts"

const serve = "exec httpd -f -p $PORT -h /www"
const appOf = (script: string) => ({
  Dockerfile: 'FROM busybox\nCOPY app.sh /app.sh\nRUN mkdir /www\nCMD ["sh", "/app.sh"]\n',
  "app.sh": script
})

class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { detail: Schema.String }) {}

/** What the app shows at `/`, once its probes have ended. */
const shown = (target: ServiceTarget) =>
  Effect.callback<string, NotReady>((resume) => {
    const { hostname, port } = new URL(endpoints.ingress.http)
    const headers = { host: platformHost(target, regionConfig.platformDomain) }
    const sent = get({ hostname, port, headers, path: "/" }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => (text += chunk))
      response.on("end", () =>
        resume(text.includes("=== end") ? Effect.succeed(text) : Effect.fail(new NotReady({ detail: text })))
      )
    })
    sent.on("error", () => resume(Effect.fail(new NotReady({ detail: "no answer" }))))
    return Effect.sync(() => sent.destroy())
  }).pipe(Effect.retry(Schedule.spaced("500 millis")), Effect.timeout("90 seconds"))

const forbidden = [
  ...["10.42.0.1", "10.45.0.1", "10.45.0.2", "10.44.0.1", "10.0.2.100", "10.0.2.2"].flatMap((address) =>
    [80, 443, 2379, 5000, 5443, 6443, 10_250].map((port) => `${address} ${port}`)
  ),
  "10.43.0.1 443",
  "169.254.169.254 80",
  `10.0.2.2 ${new URL(endpoints.registry.endpoint).port}`
]

const probes = `
mkdir -p /www
{
echo "=== environment"; env
echo "=== token"; cat /var/run/secrets/kubernetes.io/serviceaccount/token 2>&1; ls /var/run/secrets 2>&1
echo "=== reached"
${[...forbidden, `${Lure.address} ${Lure.port}`].map((each) => `(nc -w 3 ${each} -e true 2>/dev/null && echo "REACHED ${each}") &`).join("\n")}
wait
echo "=== names"
own=$(nslookup neighbour 2>/dev/null | sed -n 's/^Address: \\(10[.]43[.].*\\)/\\1/p')
for name in neighbour $NAMES $own; do echo "? $name"; nslookup $name 2>/dev/null | sed -n '3,$p'; done
echo "=== kernel"; dmesg | head -3; ls /dev /proc/1/root/work 2>&1 | head -40
echo "=== end"
} > /www/probing 2>&1
mv /www/probing /www/index.html
`

const section = (text: string, name: string): string =>
  (text.split(`=== ${name}\n`)[1] ?? "").split(/^=== /m)[0] ?? ""

test.skip("an app reaches no pod of another customer (SKIPPED: no engine for NetworkPolicies here; judged by provider-k3s' isolation.test.ts)", () => {})

describeAttacks("a hostile app", () => {
  layer(region, {
    excludeTestServices: true,
    timeout: "60 seconds"
  })((it) => {
    it.effect(
      "reaches no server of the region, has no token, and learns nothing of its neighbours (lucity, k3s#13432)",
      () =>
        Effect.gen(function* () {
          yield* Lure.serve
          const [one, two] = [unique(), unique()]
          const victim = targetOf(yield* project(ownerOf(`v${one}`, "shop")))
          const owner = yield* project(ownerOf(`a${two}`, "p"))
          const [attacker, neighbour] = [targetOf(owner), targetOf(owner, "neighbour")]
          const plain = yield* repository(appOf(`echo hello > /www/index.html; ${serve}`))
          const hostile = yield* repository(appOf(`(${probes}) &\n${serve}`))
          const victimRun = { env: { LOOT: `loot-${one}` } }
          const outcomes = yield* Effect.all(
            [deploy(victim, plain, { run: victimRun }), deploy(neighbour, plain)],
            { concurrency: 2 }
          )
          for (const outcome of outcomes) assert.strictEqual(outcome._tag, "Deployed")
          const names = [
            ...[
              "*.*.svc.cluster.local",
              "any.any.svc.cluster.local",
              `*.${victim.namespace}.svc.cluster.local`
            ],
            ...["_any._any.any.any.svc.cluster.local", "10.43.0.1", "10.43.0.10"]
          ]
          const outcome = yield* deploy(attacker, hostile, {
            run: {
              memory: "256Mi",
              env: { NAMES: names.join(" "), EXPANDED: "$(HOME) $(KUBERNETES_SERVICE_HOST) $$(PORT)" }
            }
          })
          assert.strictEqual(outcome._tag, "Deployed", JSON.stringify(outcome))
          const text = yield* shown(attacker)

          assert.strictEqual(section(text, "reached"), `REACHED ${Lure.address} ${Lure.port}\n`)
          assert.match(section(text, "token"), /No such file/)
          const environment = section(text, "environment")
          assert.include(environment, "EXPANDED=$(HOME) $(KUBERNETES_SERVICE_HOST) $$(PORT)")
          // Of services, a pod is told only where the API server is, which it does not reach.
          const told = environment.match(/^(?!KUBERNETES_)[A-Z0-9_]+_(?:SERVICE_HOST|PORT)(?==)/gm) ?? []
          assert.deepStrictEqual(told, [])
          const resolved = section(text, "names")
          assert.match(
            resolved,
            /^Name:\s+neighbour\.[^]*?^Address: 10\.43\.\d+\.\d+/m,
            "its own neighbour is found"
          )
          assert.lengthOf(resolved.match(/^Name:/gm) ?? [], 1)
          assert.notMatch(resolved, /name = |^Name:.*dp-v/m)
          assert.notInclude(text, `loot-${one}`)
          assert.match(section(text, "kernel"), /gVisor/)
        }).pipe(Effect.scoped),
      180_000
    )
  })
})
