/** `mcpdeploy env`: the variables of what runs, changed without a build. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import { EnvName, RunSpec } from "@mcpdeploy/core/domain/DeployRequest"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { withVariables } from "@mcpdeploy/core/pipeline/Change"
import { NoSuchReceipt } from "@mcpdeploy/core/pipeline/DeployError"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { clusterLayer, operationsLayer } from "../Region.ts"
import { changed } from "./Change.ts"
import { oneTarget, orFail, print, usage } from "./Root.ts"

const service = Flag.String("service").pipe(
  Flag.withDescription("The service; may be left out when the file has only one"),
  Flag.optional
)

const decodeNames = Schema.decodeUnknownEffect(Schema.Array(EnvName))
const decodeRefs = Schema.decodeUnknownEffect(Schema.Record(Schema.String, SecretRef))
const decodeRun = Schema.decodeUnknownEffect(RunSpec)

/** `NAME=VALUE` pairs as an object. */
const pairs = Effect.fnUntraced(function* (texts: ReadonlyArray<string>) {
  const entries = texts.map((text): readonly [string, string] => {
    const end = text.indexOf("=")
    return end < 0 ? [text, ""] : [text.slice(0, end), text.slice(end + 1)]
  })
  const wrong = texts.find((text) => !text.includes("="))
  if (wrong !== undefined)
    return yield* new CommandFailed({ exitCode: exitCodes.usage, detail: `"${wrong}" is not NAME=VALUE` })
  yield* usage(decodeNames(entries.map(([name]) => name)))
  return Object.fromEntries(entries)
})

const set = Command.make(
  "set",
  {
    variables: Argument.String("NAME=VALUE").pipe(
      Argument.withDescription("Variables that everyone may read"),
      Argument.variadic()
    ),
    secret: Flag.String("secret").pipe(
      Flag.withDescription("NAME=env:VARIABLE or NAME=file:/path: the value is read from there"),
      Flag.atLeast(0)
    ),
    service
  },
  Effect.fn("env.set")(function* ({ secret, service: name, variables }) {
    const target = yield* oneTarget(name)
    const env = yield* pairs(variables)
    const secrets = yield* usage(decodeRefs(yield* pairs(secret)))
    const names = [...Object.keys(env), ...Object.keys(secrets)]
    if (names.length === 0)
      return yield* new CommandFailed({ exitCode: exitCodes.usage, detail: "name at least one variable" })
    yield* usage(decodeRun({ port: 1, env, secrets }))
    yield* changed(target, { run: withVariables({ env, secrets }) }, `${target} has ${names.join(", ")}`)
  })
).pipe(
  Command.withDescription("Set variables and roll the service, without a build"),
  Command.provide(operationsLayer)
)

const unset = Command.make(
  "unset",
  { names: Argument.String("NAME").pipe(Argument.variadic({ min: 1 })), service },
  Effect.fn("env.unset")(function* ({ names, service: name }) {
    const target = yield* oneTarget(name)
    const wanted = yield* usage(decodeNames(names))
    yield* changed(
      target,
      { run: withVariables({ unset: wanted }) },
      `${target} no longer has ${names.join(", ")}`
    )
  })
).pipe(
  Command.withDescription("Take variables away and roll the service, without a build"),
  Command.provide(operationsLayer)
)

const list = Command.make(
  "list",
  { service },
  Effect.fn("env.list")(function* ({ service: name }) {
    const target = yield* oneTarget(name)
    const [last] = yield* orFail(Receipts.use((receipts) => receipts.history(target)))
    const receipt = yield* orFail(
      Option.match(Option.fromUndefinedOr(last), {
        onNone: () => Effect.fail(new NoSuchReceipt({ wanted: "this service" })),
        onSome: Effect.succeed
      })
    )
    const { env = {}, port, secrets = {} } = receipt.run
    const lines = [
      `PORT=${port}`,
      ...Object.entries(env).map(([variable, value]) => `${variable}=${value}`),
      ...Object.entries(secrets).map(([variable, ref]) => `${variable}=(secret, ${ref})`)
    ]
    yield* print(lines.join("\n"), { port, env, secrets })
  })
).pipe(
  Command.withDescription("Show the variables of what runs; of secrets where they come from"),
  Command.provide(clusterLayer)
)

export const env = Command.make("env").pipe(
  Command.withDescription("Variables of a service"),
  Command.withSubcommands([set, unset, list])
)
