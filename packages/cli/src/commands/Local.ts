/** `mcpdeploy local`: the region on this machine. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Argument, Command, Flag } from "effect/cli"
import { table } from "@mcpdeploy/local-region/images/BaseImages"
import { LocalRegion } from "@mcpdeploy/local-region/LocalRegion"
import { RegionEvent } from "@mcpdeploy/local-region/RegionEvent"
import { OptionalPart, optionalParts, type RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { localFolder } from "../Region.ts"
import { makeRegionShow } from "../RegionProgress.ts"
import { formatOf, terminal } from "../Terminal.ts"
import { orFail, print, root, usage } from "./Root.ts"

const encodeEvent = Schema.encodeSync(RegionEvent)

const options = Effect.map(usage(localFolder), ({ root: dataFolder }) => ({ dataFolder }))

const existing = {
  kubeconfig: Flag.String("kubeconfig").pipe(
    Flag.withDescription("Use this cluster instead of one of the region's own"),
    Flag.optional
  ),
  buildkit: Flag.String("buildkit").pipe(
    Flag.withDescription("Use this BuildKit (unix:///… or tcp://…) instead"),
    Flag.optional
  ),
  registry: Flag.String("registry").pipe(
    Flag.withDescription("Use the registry at this URL, which images name registry.internal:5000, instead"),
    Flag.optional
  ),
  ingress: Flag.String("ingress").pipe(
    Flag.withDescription("Where the given cluster's ingress answers"),
    Flag.optional
  )
}

/** Where the parts of a region are, a line for each. */
const linesOf = ({ buildkit, gitea, ingress, kubeconfig, registry, temporal }: RegionEndpoints) => [
  `cluster   ${kubeconfig}`,
  `BuildKit  ${buildkit.address}`,
  `registry  ${registry.endpoint} (images name it ${registry.name})`,
  `ingress   ${ingress.http}`,
  ...(temporal === undefined ? [] : [`Temporal  ${temporal.address}`]),
  ...(gitea === undefined ? [] : [`Gitea     ${gitea.url} (token in ${gitea.tokenFile})`])
]

const decodeParts = Schema.decodeUnknownEffect(Schema.Array(OptionalPart))

const up = Command.make(
  "up",
  {
    ...existing,
    parts: Flag.String("with").pipe(
      Flag.withDescription(`Also start these, separated by commas: ${optionalParts.join(", ")}`),
      Flag.withDefault("")
    )
  },
  Effect.fn("local.up")(function* ({ buildkit, ingress, kubeconfig, parts, registry }) {
    const { json } = yield* root
    const region = yield* LocalRegion
    const show = makeRegionShow(terminal, formatOf(json), encodeEvent)
    const wanted = yield* usage(decodeParts(parts.split(",").filter((part) => part !== "")))
    const given = {
      ...(Option.isSome(kubeconfig) ? { kubeconfig: kubeconfig.value } : {}),
      ...(Option.isSome(buildkit) ? { buildkit: buildkit.value } : {}),
      ...(Option.isSome(registry)
        ? { registry: { name: "registry.internal:5000", endpoint: registry.value } }
        : {}),
      ...(Option.isSome(ingress) ? { ingress: ingress.value } : {})
    }
    const endpoints = yield* orFail(
      region.up({
        ...(yield* options),
        existing: given,
        with: wanted,
        onEvent: (event) => Effect.sync(() => show(event))
      })
    )
    yield* print(linesOf(endpoints).join("\n"), endpoints)
  })
).pipe(Command.withDescription("Bring the region up; does nothing when it is"))

const down = Command.make(
  "down",
  {},
  Effect.fn("local.down")(function* () {
    const region = yield* LocalRegion
    yield* orFail(region.down(yield* options))
    yield* print("the region is down, its data stays", { state: "down" })
  })
).pipe(Command.withDescription("End every process of the region"))

const status = Command.make(
  "status",
  {},
  Effect.fn("local.status")(function* () {
    const region = yield* LocalRegion
    const found = yield* orFail(region.status(yield* options))
    yield* print(found.state === "up" ? ["up", ...linesOf(found.endpoints)].join("\n") : found.state, found)
  })
).pipe(Command.withDescription("Show whether the region is up"))

const logs = Command.make(
  "logs",
  {
    server: Argument.String("server").pipe(
      Argument.withDescription("One server, such as kubelet or buildkitd; all of them when none is named"),
      Argument.optional
    ),
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on until interrupted"),
      Flag.withDefault(false)
    ),
    tail: Flag.Int("tail").pipe(Flag.withDescription("Lines of each log to begin with"), Flag.withDefault(50))
  },
  Effect.fn("local.logs")(function* ({ follow, server, tail }) {
    const region = yield* LocalRegion
    const folder = yield* options
    const lines = region.logs({
      ...folder,
      follow,
      lines: tail,
      ...(Option.isSome(server) ? { server: server.value } : {})
    })
    yield* orFail(Stream.runForEach(lines, (line) => Console.log(line)))
  })
).pipe(Command.withDescription("Show what the servers write"))

const images = Command.make(
  "images",
  {},
  Effect.fn("local.images")(function* () {
    yield* print(
      table
        .map(
          ({ differs, madeFrom, name, tags }) =>
            `${tags.map((tag) => `${name}:${tag}`).join(", ")}\n  made from  ${madeFrom}\n  differs    ${differs}`
        )
        .join("\n"),
      table
    )
  })
).pipe(Command.withDescription("Show which base images builds can start from, and what they really are"))

export const local = Command.make("local").pipe(
  Command.withDescription("A whole region on this machine, out of real servers"),
  Command.withSubcommands([up, down, status, logs, images]),
  Command.provide(LocalRegion.layer)
)
