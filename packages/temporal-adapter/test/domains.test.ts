/** add_domain and remove_domain on a region with certificates (`--with acme`). */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import { DeployClient, OperationFailed } from "@mcpdeploy/temporal-contract/client"
import { DevServer } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  connectClient,
  pushOf,
  Repository,
  requestOf,
  Shared,
  until,
  verdictOf,
  WorkerProcess
} from "./support/Harness.ts"
import { describeOnRegion, kubectl, Project, region, unique } from "./support/Region.ts"

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))

/** A zone of the region's name server, which looks for changes every second. */
class Zone {
  readonly name = `shop-${unique()}.com`
  readonly #file: string

  constructor(folder: string, records: string) {
    this.#file = join(folder, `db.${this.name}`)
    const soa = `@ IN SOA ns hostmaster ${Math.floor(Date.now() / 1000)} 60 60 60 1`
    const lines = [`$ORIGIN ${this.name}.`, "$TTL 1", soa, "@ IN NS ns", "ns IN A 127.0.0.1", records, ""]
    writeFileSync(this.#file, lines.join("\n"))
  }
  [Symbol.dispose](): void {
    rmSync(this.#file, { force: true })
  }
}

/** `held`, `removing` or `released`. */
const claimOf = (host: string): string =>
  kubectl(
    ...["-n", "mcpdeploy-domains", "get", "configmap", host, "--ignore-not-found"],
    ...["-o", "jsonpath={.metadata.labels.mcpdeploy\\.dev/domain-claim}"]
  )

const failed = (run: () => Promise<unknown>): Promise<string> =>
  run().then(
    () => "nothing",
    (error: unknown) => {
      if (error instanceof OperationFailed) return error.failure.error._tag
      throw error
    }
  )

describeOnRegion(
  "domains by workflow",
  () => {
    layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
      it.effect(
        "a domain is served and removed; one that a service still has goes with it",
        () =>
          DevServer.use(({ address }) =>
            Effect.promise(async () => {
              const { acme } = region()
              if (acme === undefined) return assert.fail("no certificates")
              using files = await Shared.make()
              using source = new Repository()
              using project = new Project("d")
              using zone = new Zone(acme.zones, `www IN CNAME ${acme.cnameTarget}.`)
              const taskQueue = `queue-${unique()}`
              const worker = WorkerProcess.on(files, address, taskQueue)
              try {
                const client = await connectClient(address)
                const deploys = new DeployClient(client, { taskQueue })
                const target = project.target()
                const request = requestOf(target, source, Date.now())
                await deploys.submit(target, pushOf(request, source.commitApp("at home")))
                const { verdict } = await verdictOf(deploys, target, request.generation)
                assert.strictEqual(verdict._tag, "Deployed")

                const host = `www.${zone.name}`
                const added = await deploys.addDomain(target, host)
                assert.deepStrictEqual([added.host, added.state], [host, "served"])
                assert.strictEqual(claimOf(host), "held")
                assert.strictEqual(
                  await failed(() => deploys.addDomain(project.target("other"), host)),
                  "DomainNotFound"
                )
                await deploys.removeDomain(target, host)
                assert.strictEqual(claimOf(host), "released")

                // It waits for its owner to set the record, and is tried again meanwhile.
                const kept = `old.${zone.name}`
                const adding = failed(() => deploys.addDomain(target, kept))
                await until(() => (claimOf(kept) === "held" ? true : undefined))
                await deploys.deleteService(target)
                assert.strictEqual(claimOf(kept), "released")
                await deploys.deleteProject(target.owner)
                assert.isFalse(project.exists)
                assert.strictEqual(await adding, "DomainNotFound")
                assert.strictEqual(claimOf(kept), "released")
              } finally {
                await worker.stop()
              }
            })
          ),
        180_000
      )
    })
  },
  ({ acme }) => (acme === undefined ? "the region has no certificates: start it --with acme" : undefined)
)
