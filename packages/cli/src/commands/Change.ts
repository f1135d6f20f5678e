/** `mcpdeploy rollback` and `mcpdeploy delete`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import { ClusterApplier } from "@mcpdeploy/core/ClusterApplier"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { nextGeneration, rollback as rollbackTo } from "@mcpdeploy/core/pipeline/Rollback"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { clusterLayer } from "../Region.ts"
import { oneTarget, orFail, print } from "./Root.ts"

const service = Argument.String("service").pipe(
  Argument.withDescription("The service; may be left out when the file has only one"),
  Argument.optional
)

const encodeReceipt = Schema.encodeEffect(Receipt)

export const rollback = Command.make(
  "rollback",
  {
    service,
    to: Flag.String("to").pipe(
      Flag.withDescription(
        "Commit (or its beginning) of a receipt; without it the one before the present image"
      ),
      Flag.optional
    )
  },
  Effect.fn("rollback")(function* ({ service: name, to }) {
    const target = yield* oneTarget(name)
    const receipt = yield* orFail(
      Effect.flatMap(nextGeneration(target), (generation) =>
        rollbackTo({ target, commit: Option.getOrUndefined(to), generation })
      )
    )
    yield* print(`${target} runs commit ${receipt.commit} again`, yield* Effect.orDie(encodeReceipt(receipt)))
  })
).pipe(
  Command.withDescription("Run an earlier deploy again: no build, its image is in the registry"),
  Command.provide(clusterLayer)
)

export const remove = Command.make(
  "delete",
  {
    service,
    yes: Flag.Boolean("yes").pipe(Flag.withAlias("y"), Flag.withDescription("Do it"), Flag.withDefault(false))
  },
  Effect.fn("delete")(function* ({ service: name, yes }) {
    const target = yield* oneTarget(name)
    if (!yes) {
      return yield* new CommandFailed({
        exitCode: exitCodes.usage,
        detail: `this deletes ${target} with all it owns in the cluster: say --yes to do it`
      })
    }
    yield* orFail(ClusterApplier.use((cluster) => cluster.delete(target)))
    yield* print(`${target} is deleted`, { deleted: target.key })
  })
).pipe(Command.withDescription("Delete a service and wait until it is gone"), Command.provide(clusterLayer))
