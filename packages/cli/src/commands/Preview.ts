/** `mcpdeploy preview`: a branch as services of its own, beside the ones it will become. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Argument, Command, Flag } from "effect/cli"
import { Generation } from "@mcpdeploy/core/domain/DeployRequest"
import { GitRef } from "@mcpdeploy/core/domain/Source"
import { previewRequest, removeExpiredPreviews } from "@mcpdeploy/core/pipeline/Preview"
import { removeService } from "@mcpdeploy/core/pipeline/Removal"
import { ServiceCatalog } from "@mcpdeploy/core/ServiceCatalog"
import { ownerOf } from "../RequestOf.ts"
import { operationsLayer, pipelineLayer } from "../Region.ts"
import { deployAll, flags, requests } from "./Deploy.ts"
import { removalLayer, removedText, showRemoval } from "./Remove.ts"
import { orFail, print, serviceFile, usage } from "./Root.ts"
import * as Option from "effect/Option"

const hourMillis = 3_600_000

const branch = Argument.String("branch").pipe(
  Argument.withDescription("The branch"),
  Argument.withSchema(GitRef)
)

const { ref: _, ...deployFlags } = flags

const deploy = Command.make(
  "deploy",
  {
    branch,
    ...deployFlags,
    hours: Flag.Int("hours").pipe(
      Flag.withDescription("Removed after so many hours; kept until its branch goes when absent"),
      Flag.optional
    )
  },
  Effect.fn("preview.deploy")(function* ({ branch: name, hours, ...input }) {
    const now = yield* Clock.currentTimeMillis
    const all = yield* requests({ ...input, ref: Option.some(name) })
    yield* deployAll(
      all.map((request) =>
        previewRequest(request, name, {
          generation: Option.getOrElse(input.generation, () => Generation.make(now)),
          ...(Option.isSome(hours) ? { expiresAt: now + hours.value * hourMillis } : {})
        })
      )
    )
  })
).pipe(
  Command.withDescription("Deploy a branch of the file's services, each on a host of its own"),
  Command.provide(pipelineLayer)
)

/** The previews of the file's project. */
const previews = Effect.gen(function* () {
  const { file } = yield* serviceFile({})
  const owner = yield* usage(ownerOf(file))
  const all = yield* orFail(ServiceCatalog.use((catalog) => catalog.ofProject(owner)))
  return all.flatMap(({ preview, target }) => (preview === undefined ? [] : [{ preview, target }]))
})

const list = Command.make(
  "list",
  {},
  Effect.fn("preview.list")(function* () {
    const found = yield* previews
    yield* print(
      found.length === 0
        ? "no previews"
        : found
            .map(({ preview: { branch, expiresAt, of }, target }) => {
              const until = expiresAt === undefined ? "" : ` until ${new Date(expiresAt).toISOString()}`
              return `${target.service}: branch ${branch} of ${of}${until}`
            })
            .join("\n"),
      found.map(({ preview, target }) => ({ service: target.service, ...preview }))
    )
  })
).pipe(Command.withDescription("Show the project's previews"), Command.provide(operationsLayer))

const remove = Command.make(
  "remove",
  { branch },
  Effect.fn("preview.remove")(function* ({ branch: name }) {
    const found = (yield* previews).filter(({ preview }) => preview.branch === name)
    if (found.length === 0) return yield* print(`there is no preview of ${name}`, { deleted: [] })
    for (const { target } of found) {
      const removed = yield* showRemoval(orFail(removeService(target)))
      yield* print(removedText(target.key, removed), { deleted: target.key, ...removed })
    }
  })
).pipe(Command.withDescription("Delete the previews of a branch"), Command.provide(removalLayer))

const prune = Command.make(
  "prune",
  {},
  Effect.fn("preview.prune")(function* () {
    const removed = yield* showRemoval(orFail(removeExpiredPreviews()))
    yield* print(
      removed.length === 0
        ? "no preview's time is over"
        : removed.map((one) => removedText(one.target.key, one.removed)).join("\n"),
      removed.map((one) => ({ deleted: one.target.key, ...one.removed }))
    )
  })
).pipe(
  Command.withDescription(
    "Delete the previews of the whole region whose time is over, as deployer-worker does by itself"
  ),
  Command.provide(removalLayer)
)

export const preview = Command.make("preview").pipe(
  Command.withDescription("A branch, deployed beside the service"),
  Command.withSubcommands([deploy, list, remove, prune])
)
