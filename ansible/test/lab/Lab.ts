/**
 * Lab: network namespaces that hang from one process. When it ends, by whatever cause, every namespace, device, rule and mount of
 * it is gone; nothing of it is ever in the machine's own network.
 */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { run } from "@mcpdeploy/local-region/Command"
import { CommandFailed } from "@mcpdeploy/local-region/LocalRegionError"

/** The lab's own namespace, or one that was made by `add`. */
export type Namespace = "lab" | (string & {})

/** One attempt to reach a port. */
export interface Probe {
  readonly protocol: "tcp" | "udp"
  readonly from: string
  readonly to: string
  readonly port: number
}

const held = `mount --make-rprivate /
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
ip link set lo up
echo ready
exec sleep infinity`

const program = (name: string) => fileURLToPath(new URL(name, import.meta.url))

const Reached = Schema.fromJsonString(Schema.Array(Schema.Boolean))

/** A lab, for as long as the scope is open. Needs root. */
export const make = Effect.gen(function* () {
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner

  /** Starts a program that ends with the scope or with this process. Returns when it has written a first line. */
  const start = Effect.fn("Lab.start")(function* (command: string, args: ReadonlyArray<string>) {
    const handle = yield* spawner.spawn(
      ChildProcess.make("setpriv", ["--pdeathsig", "KILL", command, ...args], {
        stdin: "ignore",
        extendEnv: true,
        forceKillAfter: "2 seconds"
      })
    )
    const lines: Array<string> = []
    const first = yield* handle.all.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.tap((line) => Effect.sync(() => lines.push(line))),
      Stream.filter((line) => line === "ready"),
      Stream.take(1),
      Stream.runCollect,
      Effect.timeoutOption("20 seconds")
    )
    if (first._tag === "None" || first.value.length === 0)
      return yield* new CommandFailed({ command, exitCode: -1, output: lines.join("\n") })
    return handle
  })

  const holder = yield* start("unshare", ["--net", "--mount", "sh", "-ec", held])
  const pid = Number(holder.pid)
  const enter = (namespace: Namespace, command: string, args: ReadonlyArray<string>): Array<string> => [
    `--target=${pid}`,
    "--net",
    "--mount",
    "--",
    ...(namespace === "lab" ? [] : ["ip", "netns", "exec", namespace]),
    command,
    ...args
  ]

  const exec = (namespace: Namespace, command: string, args: ReadonlyArray<string>, stdin?: string) =>
    run("nsenter", enter(namespace, command, args), stdin === undefined ? {} : { stdin })

  return {
    /** Process id of the holder, for nsenter. */
    pid,
    /** Arguments of nsenter for a program inside. */
    enter,
    /** Starts a program that says "ready" when it is, and ends with the scope. */
    start,
    /** Runs a program to its end; its output. */
    exec,
    /** Runs a script of the shell. */
    sh: (namespace: Namespace, script: string) => exec(namespace, "sh", ["-ec", script]),
    /** Serves TCP and UDP on every port of every address: says the protocol to whoever asks. */
    serve: (namespace: Namespace, addresses: ReadonlyArray<string>, ports: ReadonlyArray<number>) =>
      start(
        "nsenter",
        enter(namespace, process.execPath, [program("./serve.ts"), addresses.join(), ports.join()])
      ),
    /** Sends all probes at once; whether each was answered. */
    probe: Effect.fn("Lab.probe")(function* (namespace: Namespace, probes: ReadonlyArray<Probe>) {
      const output = yield* exec(namespace, process.execPath, [program("./probe.ts")], JSON.stringify(probes))
      return yield* Schema.decodeEffect(Reached)(output.split("\n").at(-1) ?? "")
    })
  }
})

export type Lab = Effect.Success<typeof make>
