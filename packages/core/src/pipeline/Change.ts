/**
 * Change: what runs, runs on in other circumstances: another environment, more or fewer pods, new pods. Nothing is fetched
 * or built: the last receipt's image runs as the changed spec says, proven like a deploy, with a receipt of its own. When it
 * does not come up, what ran before is returned to.
 */
import * as Effect from "effect/Effect"
import { ClusterApplier, restoredWorkload, type Workload } from "../ClusterApplier.ts"
import { DeployRequest, type Generation, RunSpec } from "../domain/DeployRequest.ts"
import type { ServiceTarget } from "../domain/Identity.ts"
import { Receipt } from "../domain/Receipt.ts"
import type { SecretRef } from "../domain/Source.ts"
import { Receipts } from "../Receipts.ts"
import { ServiceCatalog } from "../ServiceCatalog.ts"
import { tooLarge } from "../domain/RequestSize.ts"
import { NoSuchReceipt } from "./DeployError.ts"
import { proven } from "./Rollback.ts"
import { runSecrets } from "./RunSecrets.ts"

/** A change of a running service that needs no build. */
export interface ServiceChange {
  /** What of the spec changes. */
  readonly run?: (run: RunSpec) => RunSpec
  /** Another time than the last one's makes new pods. ISO 8601. */
  readonly restartedAt?: string
}

const sameRefs = (a: Readonly<Record<string, SecretRef>> = {}, b: typeof a = {}): boolean => {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

/**
 * Changes a service. The catalog's request changes with it, so that the next push keeps the change. Secrets are read again
 * only where a reference changes; then all of them, because one object holds them. Repeated with the same generation it
 * converges.
 */
export const changeService = Effect.fn("changeService")(function* (
  target: ServiceTarget,
  generation: Generation,
  change: ServiceChange
) {
  const cluster = yield* ClusterApplier
  const receipts = yield* Receipts
  const history = yield* receipts.history(target)
  const done = history.find((receipt) => receipt.generation === generation)
  const [last] = history
  if (last === undefined) return yield* new NoSuchReceipt({ wanted: "this service" })
  if (done !== undefined) {
    yield* register(target, done)
    return done
  }
  const run = change.run?.(last.run) ?? last.run
  const problem = change.run === undefined ? undefined : tooLarge({ ...last, run })
  if (problem !== undefined) return yield* problem
  const { restartedAt = last.restartedAt } = change
  const wanted = new Receipt({ ...last, run, ...(restartedAt === undefined ? {} : { restartedAt }) })

  const apply = Effect.gen(function* () {
    if (sameRefs(last.run.secrets, run.secrets)) {
      const applied = yield* cluster.restore(target, wanted, generation)
      return {
        workload: restoredWorkload(target, wanted, generation),
        applied,
        secretName: wanted.secretName
      }
    }
    const workload: Workload = {
      ...restoredWorkload(target, wanted, generation),
      secrets: yield* runSecrets(run)
    }
    const applied = yield* cluster.apply(workload)
    return { workload, applied, secretName: applied.secretName }
  })
  const returnToLast = Effect.gen(function* () {
    const applied = yield* cluster.restore(target, last, generation)
    yield* cluster.awaitRollout(restoredWorkload(target, last, generation), applied)
  }).pipe(
    Effect.catch((failure) =>
      Effect.logWarning(`the return to commit ${last.commit} failed too: ${failure.message}`)
    )
  )
  const changed = yield* apply.pipe(
    Effect.flatMap(({ applied, secretName, workload }) => {
      const { rollback: _, secretName: __, ...kept } = wanted
      return proven(workload, applied, {
        ...kept,
        ...(secretName === undefined ? {} : { secretName })
      })
    }),
    Effect.tapError((error) => (isSuperseded(error) ? Effect.void : returnToLast))
  )
  yield* register(target, changed)
  return changed
})

const isSuperseded = (error: {
  readonly _tag: string
  readonly reason?: { readonly _tag: string }
}): boolean => error._tag === "ClusterApplierError" && error.reason?._tag === "SupersededByNewer"

/** A service that was deployed without a catalog gets its request from the receipt. */
const register = Effect.fnUntraced(function* (
  target: ServiceTarget,
  { build, generation, run, source }: Receipt
) {
  const catalog = yield* ServiceCatalog
  const request = yield* catalog.get(target)
  yield* catalog.register(
    new DeployRequest({
      ...(request ?? { owner: target.owner, service: target.service, source, build }),
      run,
      generation
    })
  )
})

/** Sets and unsets variables; a name is a plain value or a secret's reference, never both. */
export const withVariables =
  (change: {
    readonly env?: Readonly<Record<string, string>>
    readonly secrets?: Readonly<Record<string, SecretRef>>
    readonly unset?: ReadonlyArray<string>
  }) =>
  (run: RunSpec): RunSpec => {
    const { env = {}, secrets = {}, unset = [] } = change
    const without = <A>(values: Readonly<Record<string, A>>, names: ReadonlyArray<string>) =>
      Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name)))
    return new RunSpec({
      ...run,
      env: { ...without(run.env ?? {}, [...unset, ...Object.keys(secrets)]), ...env },
      secrets: { ...without(run.secrets ?? {}, [...unset, ...Object.keys(env)]), ...secrets }
    })
  }

/** A spec with another number of pods. */
export const withReplicas =
  (replicas: number) =>
  (run: RunSpec): RunSpec =>
    new RunSpec({ ...run, replicas })
