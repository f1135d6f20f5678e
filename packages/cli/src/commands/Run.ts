/** `mcpdeploy run`: a command once, in a service's image with its environment. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Argument, Command, Flag } from "effect/cli"
import { NoSuchReceipt } from "@mcpdeploy/core/pipeline/DeployError"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { Workloads } from "@mcpdeploy/core/Workloads"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { jsonLine, printableLog } from "../Printable.ts"
import { clusterLayer } from "../Region.ts"
import { oneTarget, orFail, root, usage } from "./Root.ts"
import * as Console from "effect/Console"
import * as Option from "effect/Option"

const decodeCommand = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Schema.String))

export const run = Command.make(
  "run",
  {
    service: Argument.String("service").pipe(Argument.withDescription("The service whose image it is")),
    command: Argument.String("command").pipe(
      Argument.withDescription("After --: the program and its arguments, as they are (no shell)"),
      Argument.variadic({ min: 1 })
    ),
    deadline: Flag.Int("deadline").pipe(
      Flag.withDescription("Seconds after which it is ended"),
      Flag.withDefault(3600)
    )
  },
  Effect.fn("run")(function* ({ command, deadline, service }) {
    const { json } = yield* root
    const target = yield* oneTarget(Option.some(service))
    const words = yield* usage(decodeCommand(command))
    const workloads = yield* Workloads
    const [receipt] = yield* orFail(Receipts.use((receipts) => receipts.history(target)))
    if (receipt === undefined) return yield* orFail(new NoSuchReceipt({ wanted: "this service" }))
    let exitCode: number = exitCodes.failed
    yield* orFail(
      Stream.runForEach(
        workloads.run(target, { receipt, command: words, deadlineSeconds: deadline }),
        Effect.fnUntraced(function* (event) {
          if (event._tag === "Ended") exitCode = event.exitCode
          if (json) yield* Console.log(jsonLine(event))
          else if (event._tag === "Line") yield* Console.log(printableLog(event.line))
        })
      )
    )
    if (exitCode !== exitCodes.ok) return yield* new CommandFailed({ exitCode, detail: "" })
  })
).pipe(
  Command.withDescription(
    "Run a command once in a service's image, with its environment; ends with the command's exit code"
  ),
  Command.provide(clusterLayer)
)
