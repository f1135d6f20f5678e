/** The region that `MCPDEPLOY_TEST_REGION` names, which others use at the same time, and a test's own part of it. */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { endpointOf } from "@mcpdeploy/core/buildkit/Address"
import { connect } from "@mcpdeploy/core/buildkit/Control"
import { refPrefix } from "@mcpdeploy/core/buildkit/BuildkitImageBuilder"
import { UserId } from "@mcpdeploy/core/domain/Identity"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import type * as Wire from "@mcpdeploy/temporal-contract/data"
import { missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { describe } from "vitest"

const regionFile = process.env["MCPDEPLOY_TEST_REGION"]

export const region = () =>
  Schema.decodeSync(Schema.fromJsonString(RegionEndpoints))(readFileSync(regionFile ?? "", "utf8"))

/**
 * Describes tests that need a region and a dev server; without them they are skipped, and say why. `lacks` says what more
 * they need of the region.
 */
export const describeOnRegion = (
  name: string,
  tests: () => void,
  lacks: (endpoints: RegionEndpoints) => string | undefined = () => undefined
): void => {
  const missing =
    regionFile === undefined
      ? "MCPDEPLOY_TEST_REGION names no region"
      : temporalProgram() === undefined
        ? missingProgram
        : lacks(region())
  if (missing === undefined) describe(name, tests)
  else describe.skip(`${name} (SKIPPED: ${missing})`, tests)
}

export const unique = (): string => randomBytes(4).toString("hex")

/** Of a test file: its workers reconcile this user's services, and nobody else's workers do. */
export const user = `e2e${unique()}`

export const kubectl = (...args: ReadonlyArray<string>): string =>
  execFileSync("kubectl", ["--kubeconfig", region().kubeconfig, ...args], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024
  }).trim()

/** A project of a test's own. What is left of it when the test ends, however it ends, is deleted. */
export class Project {
  readonly owner: Wire.Owner
  readonly namespace: string

  constructor(name: string) {
    const project = `${name}-${unique()}`
    this.owner = { user, project }
    this.namespace = `dp-${user}-${project}`
  }
  target(service = "web"): Wire.ServiceTarget {
    return { owner: this.owner, service }
  }
  get exists(): boolean {
    return kubectl("get", "namespace", this.namespace, "--ignore-not-found", "-o", "name") !== ""
  }
  [Symbol.dispose](): void {
    kubectl("delete", "namespace", this.namespace, "--ignore-not-found", "--wait=false")
  }
}

const Tags = Schema.Struct({ tags: Schema.Array(Schema.String) })

/** Tags of a service's repository in the registry. */
export const tagsOf = async ({ namespace }: Project, service: string): Promise<ReadonlyArray<string>> => {
  const response = await fetch(`${region().registry.endpoint}/v2/${namespace}/${service}/tags/list`)
  return Schema.decodeUnknownSync(Tags)(await response.json()).tags
}

/** How many builds of a receipt's inputs run now. */
export const runningBuilds = (wire: Wire.Receipt): Promise<number> =>
  Effect.gen(function* () {
    const { buildKey, image } = yield* Schema.decodeEffect(Receipt)(wire)
    const control = yield* connect(yield* endpointOf(region().buildkit.address, undefined))
    const prefix = refPrefix({ buildKey, image, tenant: UserId.make(user) })
    // The daemon's own filter is for builds that have ended.
    const events = yield* Stream.runCollect(control.history({ ActiveOnly: true, EarlyExit: true }))
    return events.filter(({ record }) => record?.Ref.startsWith(`${prefix}.`)).length
  }).pipe(Effect.scoped, Effect.runPromise)
