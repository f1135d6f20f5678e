/** Sends one context, and prints how much memory the process needed at most, in MB. */
import * as v8 from "node:v8"

// V8 would let its young generation, and with it the buffers that were sent, grow by 60 MB. It never shrinks, so this
// comes before anything else is loaded.
v8.setFlagsFromString("--semi-space-growth-factor=1")
const Effect = await import("effect/Effect")
const { sendOurs } = await import("./context.ts")

const [address = "", context = "", dockerfile = ""] = process.argv.slice(2)
await Effect.runPromise(sendOurs(address, { context, dockerfile }))
process.stdout.write(String(Math.round(process.resourceUsage().maxRSS / 1024)))
