/** The root command: flags that all commands share, and what the commands make of them. */
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { Command, Flag } from "effect/cli"
import { ServiceName } from "@mcpdeploy/core/domain/Identity"
import type { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { commandFailed, CommandFailed, exitCodes } from "../ExitCode.ts"
import { jsonLine, printableText } from "../Printable.ts"
import { targetOf } from "../RequestOf.ts"
import { readServiceFile, ServiceFile } from "../ServiceFile.ts"

export const root = Command.make("mcpdeploy").pipe(
  Command.withDescription(
    "Deploys a commit as a running, sandboxed, reachable workload, and tells the truth about it."
  ),
  Command.withSharedFlags({
    file: Flag.String("file").pipe(
      Flag.withDescription("The service file"),
      Flag.withDefault("mcpdeploy.yaml")
    ),
    user: Flag.String("user").pipe(
      Flag.withDescription("Owner, instead of a service file (needs --project and, to deploy, --port)"),
      Flag.optional
    ),
    project: Flag.String("project").pipe(
      Flag.withDescription("Project, instead of a service file"),
      Flag.optional
    ),
    region: Flag.String("region").pipe(
      Flag.withDescription("The region's file (JSON); without it the local region"),
      Flag.withFallbackConfig(Config.String("MCPDEPLOY_REGION")),
      Flag.optional
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Print one JSON object a line, on standard output"),
      Flag.withDefault(false)
    ),
    verbose: Flag.Boolean("verbose").pipe(
      Flag.withDescription("Show every line that a build writes"),
      Flag.withDefault(false)
    )
  })
)

const decodeFile = Schema.decodeUnknownEffect(ServiceFile, { errors: "all" })
const decodeServiceName = Schema.decodeUnknownEffect(ServiceName)

/** The service file, or one made of `--user`, `--project` and what `services` gives. */
export const serviceFile = Effect.fn("serviceFile")(function* (services: Readonly<Record<string, unknown>>) {
  const { file, project, user } = yield* root
  const path = yield* Path.Path
  if (Option.isNone(user) && Option.isNone(project)) {
    const absolute = path.resolve(file)
    return { file: yield* readServiceFile(file), directory: path.dirname(absolute) }
  }
  const made = yield* decodeFile({
    user: Option.getOrElse(user, () => ""),
    project: Option.getOrElse(project, () => ""),
    services
  })
  return { file: made, directory: path.resolve(".") }
}, usage)

/** Decodes a service's name. */
export const serviceName = (name: string) => decodeServiceName(name).pipe(usage)

/** The target of a command that is about exactly one service: the named one, or the file's only one. */
export const oneTarget = Effect.fn("oneTarget")(function* (name: Option.Option<string>) {
  const { file } = yield* serviceFile(Option.isSome(name) ? { [name.value]: { run: { port: 1 } } } : {})
  const names = Object.keys(file.services)
  const only = Option.getOrElse(name, () => (names.length === 1 ? names[0] : undefined))
  if (only === undefined) {
    return yield* new CommandFailed({
      exitCode: exitCodes.usage,
      detail: `name one of the services: ${names.join(", ")}`
    })
  }
  return yield* targetOf(file, yield* serviceName(only)).pipe(usage)
})

/** What of a deploy that succeeded its author should know, a line each. */
export const warningsOf = ({ probe }: Receipt): ReadonlyArray<string> =>
  probe?.warning === undefined ? [] : [`  WARNING ${probe.warning}`]

/** Prints a result: `text` for people, `value` with `--json`. */
export const print = Effect.fnUntraced(function* (text: string, value: unknown) {
  const { json } = yield* root
  yield* Console.log(json ? jsonLine(value) : printableText(text))
})

/** Says what is about to be done, before it is: on standard error, so that results stay apart. */
export const announce = (text: string) => Console.error(printableText(text))

/** Whatever is wrong with the input ends the process with the code for that. */
export function usage<A, E extends { readonly message: string }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, CommandFailed, R> {
  return Effect.mapError(
    effect,
    (error) => new CommandFailed({ exitCode: exitCodes.usage, detail: error.message })
  )
}

/** The failure of an operation ends the process with the code for its kind. */
export const orFail = <A, E extends { readonly message: string; readonly retryable: boolean }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, CommandFailed, R> => Effect.mapError(effect, commandFailed)
