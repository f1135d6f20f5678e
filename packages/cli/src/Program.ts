/** The program: its commands, and how it ends. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { CliError, Command } from "effect/cli"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Telemetry from "@mcpdeploy/core/Telemetry"
import { restart, rollback, scale } from "./commands/Change.ts"
import { deploy, plan } from "./commands/Deploy.ts"
import { doctor } from "./commands/Doctor.ts"
import { domain } from "./commands/Domain.ts"
import { env } from "./commands/Env.ts"
import { history, logs, status } from "./commands/Inspect.ts"
import { local } from "./commands/Local.ts"
import { mirror } from "./commands/Mirror.ts"
import { preview } from "./commands/Preview.ts"
import { region } from "./commands/Region.ts"
import { registry } from "./commands/Registry.ts"
import { project, remove } from "./commands/Remove.ts"
import { root } from "./commands/Root.ts"
import { run } from "./commands/Run.ts"
import { CommandFailed, exitCodes } from "./ExitCode.ts"
import { printableText } from "./Printable.ts"
import packageJson from "../package.json" with { type: "json" }

const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return exitCodes.ok
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCodes.interrupted
  const error = Cause.squash(exit.cause)
  if (error instanceof CommandFailed) return error.exitCode
  return CliError.isCliError(error) ? exitCodes.usage : exitCodes.failed
}

root.pipe(
  Command.withSubcommands([
    deploy,
    plan,
    status,
    logs,
    history,
    rollback,
    env,
    scale,
    restart,
    run,
    preview,
    remove,
    project,
    domain,
    mirror,
    region,
    registry,
    doctor,
    local
  ]),
  Command.run({ version: packageJson.version }),
  Effect.provide(Layer.merge(NodeServices.layer, Telemetry.layer("mcpdeploy", process.env))),
  Effect.tapError((error) =>
    Effect.sync(() => {
      if (!CliError.isCliError(error) && error.message !== "")
        process.stderr.write(`${printableText(error.message)}\n`)
    })
  ),
  (main) =>
    NodeRuntime.runMain(main, {
      disableErrorReporting: true,
      teardown: (exit, onExit) => onExit(exitCodeOf(exit))
    })
)
