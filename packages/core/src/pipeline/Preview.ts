/**
 * Preview: a service of its own, beside the one it is made after, that follows one branch, has a host of its own, and is
 * removed with its branch or when its time is over.
 */
import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import {
  DeployRequest,
  type Generation,
  PreviewSpec,
  RunSpec,
  SourceSpec,
  TriggerSpec
} from "../domain/DeployRequest.ts"
import { maxLabelLength, ServiceName } from "../domain/Identity.ts"
import type { GitRef, RepositoryUrl } from "../domain/Source.ts"
import { ServiceCatalog } from "../ServiceCatalog.ts"
import { removeService } from "./Removal.ts"

const hashLength = 6
/** Of the service's name so much stays that people know it. */
const maxServicePart = 30

/** `refs/heads/x` and `x` are one branch. */
const branchOf = (ref: string): string => ref.replace(/^refs\/heads\//, "")

/**
 * `{service}-{branch}-{hash}`, a DNS label: the branch's name in lower case, with `-` for all that a label cannot hold. The
 * hash keeps `feature/a` and `feature-a` apart, and is the same every time.
 */
export const previewName = (service: ServiceName, ref: GitRef): ServiceName => {
  const branch = branchOf(ref)
  const hash = createHash("sha256").update(`${service}\0${branch}`).digest("hex").slice(0, hashLength)
  const slug = (text: string, length: number) =>
    text
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-")
      .replace(/^-+/, "")
      .slice(0, length)
      .replace(/-+$/, "")
  const head = slug(service, maxServicePart)
  const middle = slug(branch, maxLabelLength - head.length - hashLength - 2)
  return ServiceName.make([head, middle, hash].filter((part) => part !== "").join("-"))
}

/**
 * The request for a preview of what `request` deploys: one pod, the same build and environment, no scheduled jobs (they would
 * run twice). Pushes to the branch deploy it like any service.
 */
export const previewRequest = (
  request: DeployRequest,
  branch: GitRef,
  options: { readonly generation: Generation; readonly expiresAt?: number }
): DeployRequest => {
  const { jobs: _, ...run } = request.run
  const { trigger, preview: __, ...rest } = request
  return new DeployRequest({
    ...rest,
    service: previewName(request.service, branch),
    source: new SourceSpec({ ...request.source, ref: branch }),
    run: new RunSpec({ ...run, replicas: 1 }),
    // Who switched the service's own trigger off still wants to see the branch.
    ...(trigger?.paths === undefined ? {} : { trigger: new TriggerSpec({ paths: trigger.paths }) }),
    preview: new PreviewSpec({
      of: request.service,
      branch,
      ...(options.expiresAt === undefined ? {} : { expiresAt: options.expiresAt })
    }),
    generation: options.generation
  })
}

/** It is a preview, and its time is over at `now` (milliseconds since the epoch). */
export const isExpired = ({ preview }: DeployRequest, now: number): boolean =>
  preview?.expiresAt !== undefined && preview.expiresAt <= now

const removeAll = Effect.fnUntraced(function* (requests: ReadonlyArray<DeployRequest>) {
  return yield* Effect.forEach(
    requests,
    ({ target }) => Effect.map(removeService(target), (removed) => ({ target, removed })),
    { concurrency: 4 }
  )
})

/** Removes every preview of a branch that is gone, whichever customer's: for who hears of it, such as a webhook. */
export const removePreviewsOfBranch = Effect.fn("removePreviewsOfBranch")(function* (
  repository: RepositoryUrl,
  ref: GitRef
) {
  const catalog = yield* ServiceCatalog
  const requests = yield* catalog.ofRepository(repository)
  return yield* removeAll(
    requests.filter(({ preview }) => preview !== undefined && branchOf(preview.branch) === branchOf(ref))
  )
})

/** Removes every preview of the region whose time is over: for a schedule. */
export const removeExpiredPreviews = Effect.fn("removeExpiredPreviews")(function* () {
  const catalog = yield* ServiceCatalog
  const now = yield* Clock.currentTimeMillis
  const requests = yield* catalog.all
  return yield* removeAll(requests.filter((request) => isExpired(request, now)))
})
