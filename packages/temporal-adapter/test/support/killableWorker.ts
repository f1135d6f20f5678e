/**
 * The real deployer-worker, which kills itself at a chosen moment: MCPDEPLOY_TEST_KILL is `{activity}:{before|during|after}:{ms}`.
 * `before`: Temporal has given the activity to it, nothing is done; `during`: `ms` after its begin; `after`: all is done,
 * Temporal does not know it.
 */
import { setTimeout } from "node:timers/promises"
import { main } from "../../src/worker/Process.ts"

const [name, moment, ms] = (process.env["MCPDEPLOY_TEST_KILL"] ?? "").split(":")
const die = () => process.kill(process.pid, "SIGKILL")

await main({
  activity: [
    (context) => ({
      inbound: {
        execute: async (input, next) => {
          if (context.info.activityType !== name) return next(input)
          if (moment === "before") die()
          if (moment === "during") void setTimeout(Number(ms)).then(die)
          const result: unknown = await next(input)
          die()
          return result
        }
      }
    })
  ]
})
