/** NodeFirewall: what a run node's own firewall lets reach its web ports, asked over SSH. */
import { run } from "@mcpdeploy/local-region/Command"
import type { RegionNode } from "@mcpdeploy/core/region/Region"
import { webSourcesOf } from "@mcpdeploy/core/region/WebSources"
import * as Effect from "effect/Effect"

export interface AskedNode {
  readonly name: string
  /** Why it is not as wanted, or could not be asked; undefined where it is. */
  readonly problem: string | undefined
}

/** The role `firewall` puts these there: the program fails where the kernel's rules are not those of the file. */
const question = "/usr/local/sbin/mcpdeploy-firewall verify && cat /etc/mcpdeploy/firewall.nft"

const differenceOf = (has: ReadonlySet<string>, wanted: ReadonlySet<string>): string | undefined => {
  const lines = [
    ...[...wanted].filter((range) => !has.has(range)).map((range) => `not yet ${range}`),
    ...[...has].filter((range) => !wanted.has(range)).map((range) => `still ${range}`)
  ]
  return lines.length === 0 ? undefined : `lets in ${lines.join(", ")}`
}

/** One line of what a program said, its last. */
const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? ""

/** `user`: whom Ansible logs in as. Trusts no other key than `known_hosts` has, as Ansible does. */
export const askNode = Effect.fn("askNode")(function* (
  knownHosts: string,
  user: string,
  { address, name }: RegionNode,
  wanted: ReadonlySet<string>
) {
  const options = {
    BatchMode: "yes",
    ConnectTimeout: "10",
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: knownHosts
  }
  const args = Object.entries(options).flatMap(([option, value]) => ["-o", `${option}=${value}`])
  const problem = yield* run("ssh", [...args, `${user}@${address}`, question]).pipe(
    Effect.map((ruleset) => differenceOf(webSourcesOf(ruleset), wanted)),
    Effect.timeout("30 seconds"),
    Effect.catch((error) =>
      Effect.succeed(
        `cannot be asked, or its rules were changed by hand: ${lastLine("output" in error ? error.output : error.message)}`
      )
    )
  )
  return { name, problem } satisfies AskedNode
})
