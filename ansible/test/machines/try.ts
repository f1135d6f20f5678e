import { NodeRuntime, NodeServices } from "@effect/platform-node"
import * as Effect from "effect/Effect"
import * as Machines from "../lab/Machines.ts"
const t = Date.now()
NodeRuntime.runMain(
  Effect.gen(function* () {
    const m = yield* Machines.make(Machines.four)
    console.log("booted", Date.now() - t)
    const path = new URL("./nodes.yml", import.meta.url).pathname
    for (const args of [["--check", "--diff"], [], []]) {
      const r = yield* m.playbook(path, args).pipe(Effect.result)
      console.log(
        args.join(" "),
        (Date.now() - t) / 1000,
        r._tag === "Failure"
          ? String(r.failure.message).slice(-6000)
          : JSON.stringify(
              r.success
                .filter((x) => x.outcome === "changed")
                .map((x) => `${x.host} ${x.task}${x.isHandler ? " (handler)" : ""}`)
                .filter((x) => x.startsWith("run-1") || true),
              null,
              1
            )
      )
      if (r._tag === "Failure") break
    }
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
)
