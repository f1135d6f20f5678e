/** Sends one context, and prints how much memory the process needed at most, in MB. */
import * as Effect from "effect/Effect"
import { sendOurs } from "./context.ts"

const [address = "", context = "", dockerfile = ""] = process.argv.slice(2)
await Effect.runPromise(sendOurs(address, { context, dockerfile }))
process.stdout.write(String(Math.round(process.resourceUsage().maxRSS / 1024)))
