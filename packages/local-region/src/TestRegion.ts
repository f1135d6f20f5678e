/** A region for tests: the one that is named by `MCPDEPLOY_TEST_REGION`, else this machine's own, brought up once and left up. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { LocalRegion } from "./LocalRegion.ts"
import { LocalRegionError, MachineUnsuitable } from "./LocalRegionError.ts"
import { type RegionEndpoints, RegionFile } from "./RegionState.ts"

const variable = "MCPDEPLOY_TEST_REGION"

/** The endpoints of a region that tests may use. */
export class TestRegion extends Context.Service<TestRegion, RegionEndpoints>()(
  "mcpdeploy/local-region/TestRegion"
) {
  /** A region that is up costs nothing, so test files may each build this layer. */
  static readonly layer = Layer.effect(
    TestRegion,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const region = yield* LocalRegion
      const path = process.env[variable]
      if (path === undefined) return yield* region.up()
      return yield* fs.readFileString(path).pipe(
        Effect.flatMap(Schema.decodeEffect(RegionFile)),
        Effect.mapError(
          (error) =>
            new LocalRegionError({
              operation: "status",
              reason: new MachineUnsuitable({
                detail: `${variable} names ${path}, which is no region.json: ${error.message}`
              })
            })
        )
      )
    })
  ).pipe(Layer.provideMerge(LocalRegion.layer))
}
