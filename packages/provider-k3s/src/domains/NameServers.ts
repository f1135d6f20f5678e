/** NameServers: DNS lookups whose answers tell "there is none" from "nobody knows". */
import { type CaaRecord, promises as dns } from "node:dns"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A try of one server, and how many of them: an answer takes 100 ms or never comes. */
const tryMillis = 1_500
const tries = 2
/** Of one lookup, whatever the servers do. */
const lookupDeadline = "8 seconds"

/** No answer that could be relied on. */
export class LookupFailed extends Schema.TaggedError<LookupFailed>()("LookupFailed", {
  name: Schema.String,
  type: Schema.String,
  problem: Schema.Literals(["ServerFailure", "NoAnswer"]),
  code: Schema.String
}) {
  override get message(): string {
    return this.problem === "NoAnswer"
      ? `the name servers of ${this.name} do not answer (${this.type})`
      : `the name servers of ${this.name} fail to answer ${this.type} (${this.code}): DNSSEC or the delegation may be broken`
  }
}

/** The records; or that there are none, and whether the name exists all the same. */
export type Answer<A> =
  | { readonly _tag: "Records"; readonly records: ReadonlyArray<A> }
  | { readonly _tag: "None"; readonly nameExists: boolean }

export interface NameServers {
  readonly cname: (name: string) => Effect.Effect<Answer<string>, LookupFailed>
  readonly a: (name: string) => Effect.Effect<Answer<string>, LookupFailed>
  readonly aaaa: (name: string) => Effect.Effect<Answer<string>, LookupFailed>
  readonly caa: (name: string) => Effect.Effect<Answer<CaaRecord>, LookupFailed>
  /** Each record's strings are joined (RFC 7208, 3.3). */
  readonly txt: (name: string) => Effect.Effect<Answer<string>, LookupFailed>
}

const CodedError = Schema.Struct({ code: Schema.String })
const isCoded = Schema.is(CodedError)

/** Codes of c-ares (node:dns): the server said so, or it said nothing. */
const noAnswer = new Set(["ETIMEOUT", "ECONNREFUSED", "ECANCELLED", "EDESTRUCTION"])

export const make = (servers: ReadonlyArray<string>): NameServers => {
  const lookup =
    <A>(type: string, ask: (resolver: dns.Resolver, name: string) => Promise<ReadonlyArray<A>>) =>
    (name: string): Effect.Effect<Answer<A>, LookupFailed> => {
      const failed = (problem: LookupFailed["problem"], code: string) =>
        new LookupFailed({ name, type, problem, code })
      return Effect.tryPromise({
        try: async (signal) => {
          // One for each lookup: cancelling ends all lookups of a resolver.
          const resolver = new dns.Resolver({ timeout: tryMillis, tries })
          resolver.setServers(servers)
          signal.addEventListener("abort", () => resolver.cancel(), { once: true })
          return await ask(resolver, name)
        },
        catch: (cause) => (isCoded(cause) ? cause.code : "EUNKNOWN")
      }).pipe(
        Effect.map((records): Answer<A> => ({ _tag: "Records", records })),
        Effect.catch((code): Effect.Effect<Answer<A>, LookupFailed> => {
          if (code === "ENODATA") return Effect.succeed({ _tag: "None", nameExists: true })
          if (code === "ENOTFOUND") return Effect.succeed({ _tag: "None", nameExists: false })
          return Effect.fail(failed(noAnswer.has(code) ? "NoAnswer" : "ServerFailure", code))
        }),
        Effect.timeoutOrElse({
          duration: lookupDeadline,
          orElse: () => Effect.fail(failed("NoAnswer", "ETIMEOUT"))
        })
      )
    }
  return {
    cname: lookup("CNAME", (resolver, name) => resolver.resolveCname(name)),
    a: lookup("A", (resolver, name) => resolver.resolve4(name)),
    aaaa: lookup("AAAA", (resolver, name) => resolver.resolve6(name)),
    caa: lookup("CAA", (resolver, name) => resolver.resolveCaa(name)),
    txt: lookup("TXT", async (resolver, name) =>
      (await resolver.resolveTxt(name)).map((strings) => strings.join(""))
    )
  }
}
