/** `mcpdeploy doctor`: what is wrong here and now, and what to do about it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Command } from "effect/cli"
import { Finding } from "@mcpdeploy/provider-k3s/doctor/Finding"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { printable } from "../Printable.ts"
import { findings } from "../Region.ts"
import { print } from "./Root.ts"

const signs = { ok: "✓", warning: "!", failed: "✗" } as const

const findingText = ({ advice, check, detail, state }: Finding): string =>
  [
    `${signs[state]} ${printable(check).padEnd(14)} ${printable(detail)}`,
    ...(advice === undefined ? [] : [`${" ".repeat(17)}→ ${printable(advice)}`])
  ].join("\n")

const encodeFinding = Schema.encodeEffect(Finding)

export const doctor = Command.make(
  "doctor",
  {},
  Effect.fn("doctor")(function* () {
    const found = yield* findings
    for (const finding of found)
      yield* print(findingText(finding), yield* Effect.orDie(encodeFinding(finding)))
    const failed = found.filter(({ state }) => state === "failed").length
    if (failed > 0)
      return yield* new CommandFailed({
        exitCode: exitCodes.failed,
        detail: `${failed} of ${found.length} checks failed`
      })
  })
).pipe(Command.withDescription("Show what is wrong with the region here and now, and what to do about it"))
