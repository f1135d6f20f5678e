/** `mcpdeploy domain`: hosts of a service's own. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import { DomainManager, DomainStatus, parseDomainName } from "@mcpdeploy/core/DomainManager"
import { ownerOf } from "../RequestOf.ts"
import { domainLayer } from "../Region.ts"
import { oneTarget, orFail, print, root, serviceFile, usage } from "./Root.ts"

const flags = {
  host: Argument.String("host").pipe(Argument.withDescription("The host, such as www.example.com")),
  service: Flag.String("service").pipe(
    Flag.withDescription("The service; may be left out when the file has only one"),
    Flag.optional
  )
}

const encodeStatus = Schema.encodeEffect(DomainStatus)
const encodeStatuses = Schema.encodeEffect(Schema.Array(DomainStatus))

const statusText = ({ host, problem, state, target, validUntil }: DomainStatus): string =>
  [
    `${host}: ${state}${validUntil === undefined ? "" : `, certificate valid until ${validUntil}`} (${target})`,
    ...(problem === undefined ? [] : [`  ${problem.message}`])
  ].join("\n")

type Flags = { readonly host: string; readonly service: Option.Option<string> }

const targetAndHost = Effect.fnUntraced(function* (input: Flags) {
  return { host: yield* usage(parseDomainName(input.host)), target: yield* oneTarget(input.service) }
})

const add = Command.make(
  "add",
  flags,
  Effect.fn("domain.add")(function* (input) {
    const { host, target } = yield* targetAndHost(input)
    const { json } = yield* root
    if (!json)
      yield* Console.error(
        `${host}: checking its DNS, then asking for its certificate, which takes up to 2 minutes …`
      )
    const added = yield* orFail(DomainManager.use((domains) => domains.add(target, host)))
    yield* print(statusText(added), yield* Effect.orDie(encodeStatus(added)))
  })
).pipe(
  Command.withDescription("Claim a host, check its DNS, get its certificate; or say which DNS record to set")
)

const status = Command.make(
  "status",
  flags,
  Effect.fn("domain.status")(function* (input) {
    const { host, target } = yield* targetAndHost(input)
    const found = yield* orFail(DomainManager.use((domains) => domains.status(target, host)))
    yield* print(statusText(found), yield* Effect.orDie(encodeStatus(found)))
  })
).pipe(Command.withDescription("Show where a host stands, and what stands in its way"))

const list = Command.make(
  "list",
  {},
  Effect.fn("domain.list")(function* () {
    const { file } = yield* serviceFile({})
    const owner = yield* usage(ownerOf(file))
    const found = yield* orFail(DomainManager.use((domains) => domains.list(owner)))
    yield* print(
      found.length === 0 ? "no domains" : found.map(statusText).join("\n"),
      yield* Effect.orDie(encodeStatuses(found))
    )
  })
).pipe(Command.withDescription("Show the project's hosts"))

const remove = Command.make(
  "remove",
  flags,
  Effect.fn("domain.remove")(function* (input) {
    const { host, target } = yield* targetAndHost(input)
    yield* orFail(DomainManager.use((domains) => domains.remove(target, host)))
    yield* print(`${host} is removed from ${target}`, { removed: host, target: target.key })
  })
).pipe(Command.withDescription("Remove a host and its certificate"))

export const domain = Command.make("domain").pipe(
  Command.withDescription("Hosts of a service's own"),
  Command.withSubcommands([add, status, list, remove]),
  Command.provide(domainLayer)
)
