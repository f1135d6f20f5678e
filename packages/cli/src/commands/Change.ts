/** `mcpdeploy rollback`, `scale` and `restart`: what runs is changed without a build. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { changeService, type ServiceChange, withReplicas } from "@mcpdeploy/core/pipeline/Change"
import { nextGeneration, rollback as rollbackTo } from "@mcpdeploy/core/pipeline/Rollback"
import { clusterLayer, operationsLayer } from "../Region.ts"
import { oneTarget, orFail, print, usage, warningsOf } from "./Root.ts"

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
    yield* print(
      [`${target} runs commit ${receipt.commit} again`, ...warningsOf(receipt)].join("\n"),
      yield* Effect.orDie(encodeReceipt(receipt))
    )
  })
).pipe(
  Command.withDescription("Run an earlier deploy again: no build, its image is in the registry"),
  Command.provide(clusterLayer)
)

/** Changes a service without a build, and shows the receipt. */
export const changed = Effect.fn("changed")(function* (
  target: ServiceTarget,
  change: ServiceChange,
  text: string
) {
  const receipt = yield* orFail(
    Effect.flatMap(nextGeneration(target), (generation) => changeService(target, generation, change))
  )
  yield* print([text, ...warningsOf(receipt)].join("\n"), yield* Effect.orDie(encodeReceipt(receipt)))
})

const decodeReplicas = Schema.decodeUnknownEffect(
  Schema.Struct({ replicas: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })) })
)

export const scale = Command.make(
  "scale",
  {
    replicas: Argument.Int("replicas").pipe(Argument.withDescription("How many pods, 0 to 50")),
    service
  },
  Effect.fn("scale")(function* ({ replicas, service: name }) {
    const target = yield* oneTarget(name)
    const wanted = yield* usage(decodeReplicas({ replicas }))
    yield* changed(
      target,
      { run: withReplicas(wanted.replicas) },
      `${target} runs in ${replicas} ${replicas === 1 ? "pod" : "pods"}`
    )
  })
).pipe(Command.withDescription("Change how many pods a service has"), Command.provide(operationsLayer))

export const restart = Command.make(
  "restart",
  { service },
  Effect.fn("restart")(function* ({ service: name }) {
    const target = yield* oneTarget(name)
    const restartedAt = DateTime.formatIso(yield* DateTime.now)
    yield* changed(target, { restartedAt }, `${target} runs in new pods`)
  })
).pipe(
  Command.withDescription("Replace a service's pods one by one; it answers all the time"),
  Command.provide(operationsLayer)
)
