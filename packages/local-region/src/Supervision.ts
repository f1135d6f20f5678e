/** What every server of a bundle shares. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { DataFolder } from "./DataFolder.ts"
import type { LocalRegionReason } from "./LocalRegionError.ts"
import type { RegionEvent } from "./RegionEvent.ts"
import type { BundleSettings } from "./RegionState.ts"

export class Supervision extends Context.Service<
  Supervision,
  {
    readonly folder: DataFolder
    readonly settings: BundleSettings
    /** PATH of the servers. */
    readonly path: string
    readonly report: (event: RegionEvent) => Effect.Effect<void>
    /** Ends the region with this cause. */
    readonly fail: (reason: LocalRegionReason) => Effect.Effect<void>
    /** Waits until the tool is there (it may still be built), and gives the path of one of its programs. */
    readonly program: (tool: string, name: string) => Effect.Effect<string>
  }
>()("mcpdeploy/local-region/Supervision") {}
