/** Vitest: registers checks as tests, with the layer of what they are put to. */
import { layer as withLayer } from "@effect/vitest"
import type * as Layer from "effect/Layer"
import type { Check } from "./Check.ts"

/** Milliseconds for one check. */
const timeout = 120_000

/** `name` is what is tested, such as `ClusterApplier on k3s`. */
export const describeConformance = <R, E>(
  name: string,
  layer: Layer.Layer<R, E>,
  checks: ReadonlyArray<Check<R>>
): void => {
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
    for (const { promise, run } of checks) it.effect(promise, () => run, timeout)
  })
}
