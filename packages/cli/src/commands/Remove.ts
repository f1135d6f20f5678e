/** `mcpdeploy delete` and `mcpdeploy project delete`: nothing stays behind. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import {
  RemovalEvent,
  RemovalEvents,
  Removed,
  removeProject,
  removeService
} from "@mcpdeploy/core/pipeline/Removal"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { jsonLine } from "../Printable.ts"
import { ownerOf } from "../RequestOf.ts"
import { mirrorsIfAny, operationsLayer } from "../Region.ts"
import { terminal } from "../Terminal.ts"
import { oneTarget, orFail, print, root, serviceFile, usage } from "./Root.ts"

export const removalLayer = Layer.merge(operationsLayer, mirrorsIfAny)

const flags = {
  yes: Flag.Boolean("yes").pipe(Flag.withAlias("y"), Flag.withDescription("Do it"), Flag.withDefault(false)),
  deadline: Flag.Int("deadline").pipe(
    Flag.withDescription("Seconds after which it gives up waiting; run it again to go on"),
    Flag.withDefault(600)
  )
}

const encodeEvent = Schema.encodeSync(RemovalEvent)
const encodeRemoved = Schema.encodeSync(Removed)

/** Shows the steps as they end, or with `--json` all events. */
export const showRemoval = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const { json } = yield* root
  const console = yield* Console.Console
  return yield* Effect.provideService(effect, RemovalEvents, (event) =>
    Effect.sync(() => {
      if (json) console.log(jsonLine(encodeEvent(event)))
      else if (event._tag === "RemovalFinished" && event.removed.length > 0)
        terminal.progress(`${event.subject} ${event.step}: ${event.removed.join(", ")}\n`)
    })
  )
})

export const removedText = (subject: string, { domains, images, mirrors, objects }: Removed): string =>
  `${subject} is deleted: ${objects.length} objects, ${images.length} tags, ${domains.length} domains, ${mirrors.length} mirrors`

const refusedWithout = (yes: boolean, what: string) =>
  yes
    ? Effect.void
    : Effect.fail(
        new CommandFailed({
          exitCode: exitCodes.usage,
          detail: `this deletes ${what}, with its images, domains and secrets: say --yes to do it`
        })
      )

export const remove = Command.make(
  "delete",
  {
    service: Argument.String("service").pipe(
      Argument.withDescription("The service; may be left out when the file has only one"),
      Argument.optional
    ),
    ...flags
  },
  Effect.fn("delete")(function* ({ deadline, service, yes }) {
    const target = yield* oneTarget(service)
    yield* refusedWithout(yes, `the service ${target}`)
    const removed = yield* showRemoval(orFail(removeService(target, deadline)))
    yield* print(removedText(target.key, removed), { deleted: target.key, ...encodeRemoved(removed) })
  })
).pipe(
  Command.withDescription("Delete a service with its images, domains and mirror, and wait until it is gone"),
  Command.provide(removalLayer)
)

const removeWhole = Command.make(
  "delete",
  flags,
  Effect.fn("project.delete")(function* ({ deadline, yes }) {
    const { file } = yield* serviceFile({})
    const owner = yield* usage(ownerOf(file))
    const name = `${owner.user}/${owner.project}`
    yield* refusedWithout(yes, `the project ${name} with all its services`)
    const removed = yield* showRemoval(orFail(removeProject(owner, deadline)))
    yield* print(removedText(name, removed), { deleted: name, ...encodeRemoved(removed) })
  })
).pipe(
  Command.withDescription("Delete a project with all its services, and wait until its namespace is gone"),
  Command.provide(removalLayer)
)

export const project = Command.make("project").pipe(
  Command.withDescription("A whole project"),
  Command.withSubcommands([removeWhole])
)
