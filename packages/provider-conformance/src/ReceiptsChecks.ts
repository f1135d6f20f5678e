/** What every Receipts promises. */
import { ClusterApplier, type Workload } from "@mcpdeploy/core/ClusterApplier"
import { BuildSpec, SourceSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { keptReceipts, Receipt } from "@mcpdeploy/core/domain/Receipt"
import { GitRef, GitRepository, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { Receipts } from "@mcpdeploy/core/Receipts"
import * as Effect from "effect/Effect"
import { type Check, check } from "./Check.ts"
import { type ClusterConformance, freshService, tagOf, targetOf, workloadOf } from "./ClusterSample.ts"

const receiptOf = ({ digest, generation, image, run }: Workload, secretName?: string) =>
  new Receipt({
    ...{ commit: image.commit, image, digest, buildKey: image.commit, generation, run },
    source: new SourceSpec({
      repository: new GitRepository({ url: RepositoryUrl.make("https://git.example.com/conform/web.git") }),
      ref: GitRef.make("main")
    }),
    build: new BuildSpec({}),
    ...(secretName === undefined ? {} : { secretName }),
    pods: [],
    steps: [{ step: "verify", durationMs: 1 }],
    deployedAt: new Date(generation * 1000).toISOString()
  })

/** What every cluster promises of the receipts that it keeps. */
export const receiptsChecks = (of: ClusterConformance): ReadonlyArray<Check<ClusterApplier | Receipts>> => {
  /** A deploy of the service, proven. */
  const proven = Effect.fnUntraced(function* (workload: Workload) {
    const { secretName } = yield* ClusterApplier.use((cluster) => cluster.apply(workload))
    const receipt = receiptOf(workload, secretName)
    yield* Receipts.use((receipts) => receipts.record(workload.target, receipt))
    return receipt
  })
  return [
    check("the last receipts are kept whole, newest first, and storing one again changes nothing", (expect) =>
      Effect.gen(function* () {
        const receipts = yield* Receipts
        const target = yield* freshService(of)
        const stored: Array<Receipt> = []
        for (let generation = 1; generation <= keptReceipts + 2; generation++)
          stored.unshift(yield* expect.succeeds(proven(workloadOf(target, generation)), "record"))
        const wanted = stored.slice(0, keptReceipts)
        const [newest] = wanted
        yield* expect.equal(
          yield* expect.succeeds(receipts.history(target), "history"),
          wanted,
          "the history"
        )
        if (newest !== undefined) yield* expect.succeeds(receipts.record(target, newest), "record again")
        yield* expect.equal(
          yield* expect.succeeds(receipts.history(target), "history"),
          wanted,
          "the history after storing the newest again"
        )
      })
    ),
    check("what a receipt says can be restored, also when later deploys had other secrets", (expect) =>
      Effect.gen(function* () {
        const cluster = yield* ClusterApplier
        const target = yield* freshService(of)
        const first = yield* expect.succeeds(proven(workloadOf(target, 1)), "record")
        yield* expect.succeeds(proven({ ...workloadOf(target, 2), secrets: {} }), "record another")
        const later = workloadOf(target, 3)
        const restored = yield* expect.succeeds(cluster.restore(target, first, later.generation), "restore")
        yield* expect.equal(restored.secretName, first.secretName, "the Secret of what was restored")
      })
    ),
    check("another owner's receipts are neither read nor written, and nobody has none", (expect) =>
      Effect.gen(function* () {
        const receipts = yield* Receipts
        const unique = yield* of.unique
        const holder = yield* freshService(of, () => targetOf(`a-${unique}`, "c", "web"))
        const other = targetOf("a", `${unique}-c`, "web")
        yield* expect.equal(yield* expect.succeeds(receipts.history(holder), "history"), [], "its history")
        const receipt = yield* expect.succeeds(proven(workloadOf(holder, 1)), "record")
        const refused = ["NamespaceOwnedByOther"]
        yield* expect.failsWith(receipts.history(other), refused, tagOf, "reading them")
        yield* expect.failsWith(receipts.record(other, receipt), refused, tagOf, "writing one")
        yield* expect.equal(
          yield* expect.succeeds(receipts.history(holder), "history"),
          [receipt],
          "the holder's history"
        )
      })
    )
  ]
}
