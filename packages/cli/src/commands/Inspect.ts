/** `mcpdeploy status`, `logs` and `history`: what runs, what it says, and what ran before. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Argument, Command, Flag } from "effect/cli"
import { Receipt } from "@mcpdeploy/core/domain/Receipt"
import { Receipts } from "@mcpdeploy/core/Receipts"
import { ServiceStatus, Workloads } from "@mcpdeploy/core/Workloads"
import { clusterLayer } from "../Region.ts"
import { jsonLine, printableLog } from "../Printable.ts"
import { seconds } from "../Progress.ts"
import { oneTarget, orFail, print, root } from "./Root.ts"

const service = Argument.String("service").pipe(
  Argument.withDescription("The service; may be left out when the file has only one"),
  Argument.optional
)

const encodeStatus = Schema.encodeEffect(ServiceStatus)
const encodeReceipts = Schema.encodeEffect(Schema.Array(Receipt))

const roomText = ({ project, region }: NonNullable<ServiceStatus["room"]>): string =>
  [
    ...(region === undefined ? [] : [`${region} more pods like these on the region's nodes`]),
    ...(project === undefined ? [] : [`${project} in the project's quota`])
  ].join(", ")

const statusText = ({
  commit,
  digest,
  pods,
  readyReplicas,
  replicas,
  room,
  target,
  url
}: ServiceStatus): string =>
  [
    `${target}: ${readyReplicas} of ${replicas} ready${url === undefined ? "" : ` at ${url}`}`,
    `  commit ${commit}`,
    `  image  ${digest}`,
    ...pods.map(
      ({ lastEnd, name, phase, ready, restarts, trouble = lastEnd }) =>
        `  pod    ${name} ${ready ? "ready" : phase}${restarts === 0 ? "" : `, restarted ${restarts === 1 ? "once" : `${restarts} times`}`}${trouble === undefined ? "" : `: ${trouble}`}`
    ),
    ...(room === undefined ? [] : [`  room   for ${roomText(room)}`])
  ].join("\n")

export const status = Command.make(
  "status",
  { service },
  Effect.fn("status")(function* (input) {
    const target = yield* oneTarget(input.service)
    const found = yield* orFail(Workloads.use((workloads) => workloads.status(target)))
    yield* print(statusText(found), yield* Effect.orDie(encodeStatus(found)))
  })
).pipe(Command.withDescription("Show what runs, and what troubles it"), Command.provide(clusterLayer))

export const logs = Command.make(
  "logs",
  {
    service,
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on until interrupted, across restarts and deploys"),
      Flag.withDefault(false)
    ),
    tail: Flag.Int("tail").pipe(
      Flag.withDescription("Lines of each pod to begin with"),
      Flag.withDefault(100)
    )
  },
  Effect.fn("logs")(function* ({ follow, service: name, tail }) {
    const { json } = yield* root
    const target = yield* oneTarget(name)
    const workloads = yield* Workloads
    yield* orFail(
      Stream.runForEach(workloads.logs(target, { follow, tail }), ({ line, pod }) =>
        Console.log(json ? jsonLine({ pod, line }) : `${pod} ${printableLog(line)}`)
      )
    )
  })
).pipe(Command.withDescription("Show what the app writes"), Command.provide(clusterLayer))

const receiptText = ({ commit, deployedAt, digest, rollback, steps }: Receipt): string =>
  `${deployedAt}  ${commit.slice(0, 12)}  ${digest.slice(0, 19)}  ${seconds(
    steps.reduce((sum, { durationMs }) => sum + durationMs, 0)
  ).padStart(8)}${rollback === true ? "  rollback" : ""}`

export const history = Command.make(
  "history",
  { service },
  Effect.fn("history")(function* (input) {
    const target = yield* oneTarget(input.service)
    const receipts = yield* orFail(Receipts.use((all) => all.history(target)))
    yield* print(
      receipts.length === 0 ? `${target} has not been deployed` : receipts.map(receiptText).join("\n"),
      yield* Effect.orDie(encodeReceipts(receipts))
    )
  })
).pipe(
  Command.withDescription("Show the receipts of the last deploys, newest first"),
  Command.provide(clusterLayer)
)
