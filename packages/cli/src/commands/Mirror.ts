/** `mcpdeploy mirror`: repositories of elsewhere, mirrored in the region's Gitea. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import { GitMirror, type MirrorAdded, MirrorName, MirrorSpec } from "@mcpdeploy/core/GitMirror"
import { mirrorLayer } from "../Region.ts"
import { orFail, print, root, usage } from "./Root.ts"

const decodeSpec = Schema.decodeUnknownEffect(MirrorSpec, { errors: "all" })
const decodeName = Schema.decodeUnknownEffect(MirrorName)

const name = Argument.String("name").pipe(Argument.withDescription("owner/repository in Gitea"))

/** The last two parts of the source's path, as a mirror may be called. */
const nameOf = (source: string): string =>
  source
    .replace(/\/+$/, "")
    .replace(/\.git$/, "")
    .split("/")
    .slice(-2)
    .join("/")
    .toLowerCase()

const show = ({ changes, spec, url }: MirrorAdded) =>
  print(`${spec.name} mirrors ${spec.source} at ${url} (${changes.join(", ") || "nothing to do"})`, {
    ...{ name: spec.name, source: spec.source, url, changes }
  })

const add = Command.make(
  "add",
  {
    source: Argument.String("source").pipe(Argument.withDescription("https://host/owner/repository")),
    as: Flag.String("as").pipe(
      Flag.withDescription("owner/repository in Gitea; like the source's when absent"),
      Flag.optional
    ),
    username: Flag.String("username").pipe(Flag.withDescription("With --password"), Flag.optional),
    password: Flag.String("password").pipe(
      Flag.withDescription("Where the password or token is: env:NAME or file:/path"),
      Flag.optional
    ),
    interval: Flag.Int("interval").pipe(
      Flag.withDescription("Minutes between two looks at the source"),
      Flag.withDefault(10)
    )
  },
  Effect.fn("mirror.add")(function* ({ as, interval, password, source, username }) {
    const spec = yield* usage(
      decodeSpec({
        name: Option.getOrElse(as, () => nameOf(source)),
        source,
        intervalMinutes: interval,
        ...(Option.isNone(password)
          ? {}
          : {
              credentials: {
                password: password.value,
                ...(Option.isSome(username) ? { username: username.value } : {})
              }
            })
      })
    )
    yield* show(yield* orFail(GitMirror.use((mirror) => mirror.add(spec))))
  })
).pipe(
  Command.withDescription("Mirror a repository; repairs a mirror that is there"),
  Command.provide(mirrorLayer)
)

const list = Command.make(
  "list",
  {},
  Effect.fn("mirror.list")(function* () {
    const { json } = yield* root
    const found = yield* orFail(GitMirror.use((mirror) => mirror.list))
    if (found.length === 0 && !json) return yield* print("there are no mirrors", [])
    yield* Effect.forEach(
      found,
      ({ spec, state, syncedAt }) =>
        print(`${spec.name.padEnd(40)} ${state.padEnd(9)} ${spec.source}  ${syncedAt ?? ""}`.trimEnd(), {
          ...{ name: spec.name, source: spec.source, state },
          ...(syncedAt === undefined ? {} : { syncedAt })
        }),
      { discard: true }
    )
  })
).pipe(Command.withDescription("Show the mirrors"), Command.provide(mirrorLayer))

const remove = Command.make(
  "remove",
  { name },
  Effect.fn("mirror.remove")(function* ({ name: text }) {
    const mirrorName = yield* usage(decodeName(text))
    yield* orFail(GitMirror.use((mirror) => mirror.remove(mirrorName)))
    yield* print(`${mirrorName} is no longer mirrored`, { removed: mirrorName })
  })
).pipe(Command.withDescription("Delete a mirror with its webhook"), Command.provide(mirrorLayer))

const sync = Command.make(
  "sync",
  { name },
  Effect.fn("mirror.sync")(function* ({ name: text }) {
    const mirrorName = yield* usage(decodeName(text))
    yield* orFail(GitMirror.use((mirror) => mirror.sync(mirrorName)))
    yield* print(`${mirrorName} is being synced`, { syncing: mirrorName })
  })
).pipe(Command.withDescription("Look at the source now"), Command.provide(mirrorLayer))

const rebuild = Command.make(
  "rebuild",
  {},
  Effect.fn("mirror.rebuild")(function* () {
    const context = yield* Effect.context<Effect.Services<ReturnType<typeof show>>>()
    const rebuilt = yield* orFail(
      GitMirror.use((mirror) => mirror.rebuild((added) => Effect.provideContext(show(added), context)))
    )
    yield* print(`${rebuilt.length} mirrors are there`, { mirrors: rebuilt.length })
  })
).pipe(
  Command.withDescription("Make all mirrors and webhooks again, as after the loss of Gitea"),
  Command.provide(mirrorLayer)
)

export const mirror = Command.make("mirror").pipe(
  Command.withDescription("Repositories mirrored in the region's Gitea"),
  Command.withSubcommands([add, list, remove, sync, rebuild])
)
