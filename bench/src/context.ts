/**
 * Sending a build context to BuildKit, against buildctl: 1,000 × 10 KB, 20,000 × 4 KB and 1 × 500 MB files; cold (the
 * daemon has none of it), warm (it has all of it), and with one file changed.
 *
 * Both sides build the same Dockerfile (`FROM scratch`, `COPY . /`) from the same folder on the same daemon, in turns.
 * Ours is a call in this process, as in a worker; buildctl is a process, as it always is.
 * Needs `BUILDCTL`, and `MCPDEPLOY_TEST_BUILDKITD`, the daemon's program: it is started with its data in memory, because
 * a disk is slower than either side. Without it the daemon at `MCPDEPLOY_TEST_BUILDKIT` is used, and its disk is measured too.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { endpointOf } from "@mcpdeploy/core/buildkit/Address"
import { connect } from "@mcpdeploy/core/buildkit/Control"
import { openSession } from "@mcpdeploy/core/buildkit/Session"
import { execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import type { Measure } from "./measure.ts"

export interface Tree {
  readonly label: string
  readonly files: number
  readonly bytes: number
  /** The shorter one takes, the more others on the machine disturb it. */
  readonly runs: number
}
export const trees: ReadonlyArray<Tree> = [
  { label: "1000x10KB", files: 1_000, bytes: 10_000, runs: 15 },
  { label: "20000x4KB", files: 20_000, bytes: 4_000, runs: 5 },
  { label: "1x500MB", files: 1, bytes: 500_000_000, runs: 5 }
]

const environment = Config.all({
  address: Config.String("MCPDEPLOY_TEST_BUILDKIT").pipe(
    Config.withDefault("unix:///run/buildkit/buildkitd.sock")
  ),
  daemon: Config.option(Config.String("MCPDEPLOY_TEST_BUILDKITD")),
  buildctl: Config.String("BUILDCTL").pipe(Config.withDefault("buildctl"))
})

type Environment = { readonly address: string; readonly buildctl: string }

const fileOf = (folder: string, index: number): string =>
  path.join(folder, `d${Math.floor(index / 100)}`, `f${index}`)

const folderIn = (parent: string) =>
  Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(parent, "mcpdeploy-bench-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  )
const temporaryFolder = folderIn(os.tmpdir())

/** A daemon with its data in memory (Linux's /dev/shm); it runs no steps. */
const daemonInMemory = (program: string) =>
  Effect.gen(function* () {
    const home = yield* folderIn("/dev/shm")
    const socket = path.join(home, "buildkitd.sock")
    const config = path.join(home, "buildkitd.toml")
    fs.writeFileSync(
      config,
      [
        `root = "${home}/root"`,
        `[grpc]\n  address = ["unix://${socket}"]`,
        `[worker.oci]\n  enabled = true\n  binary = "/bin/true"\n  snapshotter = "overlayfs"`,
        `[worker.containerd]\n  enabled = false`
      ].join("\n")
    )
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn(program, ["--config", config], { stdio: "ignore" })),
      (child) =>
        Effect.callback<void>((resume) => {
          child.once("exit", () => resume(Effect.void))
          if (!child.kill("SIGKILL")) resume(Effect.void)
        })
    )
    yield* Effect.sync(() => fs.existsSync(socket)).pipe(
      Effect.repeat({ until: (listens) => listens, schedule: Schedule.spaced("50 millis") }),
      Effect.timeout("20 seconds")
    )
    return `unix://${socket}`
  })

export const makeTree = (folder: string, { bytes, files }: Tree): void => {
  const content = randomBytes(Math.min(bytes, 1_000_000))
  for (let index = 0; index < files; index++) {
    const file = fileOf(folder, index)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    content.writeUInt32LE(index)
    const descriptor = fs.openSync(file, "w")
    for (let written = 0; written < bytes; written += content.length) {
      fs.writeSync(descriptor, content, 0, Math.min(content.length, bytes - written))
    }
    fs.closeSync(descriptor)
  }
}

/** Overwrites the beginning of one file with something that was never sent. */
const changeOne = (folder: string): void => {
  const descriptor = fs.openSync(fileOf(folder, 0), "r+")
  fs.writeSync(descriptor, randomBytes(16), 0, 16, 0)
  fs.closeSync(descriptor)
}

interface Paths {
  readonly context: string
  readonly dockerfile: string
}

/** One build by our client. The same shared key as buildctl's, none, so that both find the same files sent before. */
const sendOurs = (address: string, { context, dockerfile }: Paths) =>
  Effect.gen(function* () {
    const endpoint = yield* endpointOf(address, undefined)
    const session = yield* openSession(endpoint, {
      directories: { context, dockerfile },
      secrets: {},
      credentials: () => Effect.undefined,
      sharedKey: ""
    })
    const control = yield* connect(endpoint)
    yield* control.solve({
      Ref: randomBytes(12).toString("hex"),
      Session: session.id,
      Frontend: "dockerfile.v0"
    })
  }).pipe(Effect.scoped)

const execute = promisify(execFile)
const buildctlWith = ({ address, buildctl }: Environment, args: ReadonlyArray<string>) =>
  Effect.tryPromise(() => execute(buildctl, ["--addr", address, ...args]))

const sendPeer = (environment: Environment, { context, dockerfile }: Paths) =>
  buildctlWith(environment, [
    "build",
    "--progress",
    "plain",
    "--frontend",
    "dockerfile.v0",
    "--local",
    `context=${context}`,
    "--local",
    `dockerfile=${dockerfile}`
  ])

/** The daemon forgets the contexts that it was sent. */
const forget = (environment: Environment) =>
  buildctlWith(environment, ["prune", "--filter", "type==source.local"])

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const start = performance.now()
    yield* effect
    return performance.now() - start
  })

/** Makes a tree and the folder of its Dockerfile. */
const prepareTree = (tree: Tree) =>
  Effect.map(temporaryFolder, (folder): Paths => {
    const paths = { context: path.join(folder, "context"), dockerfile: path.join(folder, "dockerfile") }
    fs.mkdirSync(paths.dockerfile)
    fs.writeFileSync(path.join(paths.dockerfile, "Dockerfile"), "FROM scratch\nCOPY . /\n")
    makeTree(paths.context, tree)
    return paths
  })

const measureTree = (given: Environment, tree: Tree) =>
  Effect.gen(function* () {
    const paths = yield* prepareTree(tree)
    const results = { cold: pairs(), warm: pairs(), changed: pairs() }
    const ours = timed(sendOurs(given.address, paths))
    const peer = timed(sendPeer(given, paths))
    for (let run = 0; run < tree.runs; run++) {
      const both = [["ours", ours] as const, ["peer", peer] as const]
      const inTurn = run % 2 === 0 ? both : both.toReversed()
      // the daemon makes the layer of this tree once; after that only the sending differs
      yield* peer
      for (const [side, send] of inTurn) {
        yield* forget(given)
        results.cold[side].push(yield* send)
      }
      for (const [side, send] of inTurn) results.warm[side].push(yield* send)
      for (const [side, send] of inTurn) {
        changeOne(paths.context)
        results.changed[side].push(yield* send)
      }
    }
    const measure = (kind: keyof typeof results, label: string): Measure => ({
      label: `context ${tree.label} ${label}`,
      unit: "ms",
      ...results[kind]
    })
    return [measure("cold", "cold"), measure("warm", "warm"), measure("changed", "one-changed")]
  }).pipe(Effect.scoped)

const pairs = (): { readonly ours: Array<number>; readonly peer: Array<number> } => ({ ours: [], peer: [] })

export const run: Effect.Effect<ReadonlyArray<Measure>, { readonly message: string }> = Effect.gen(
  function* () {
    const { address, buildctl, daemon } = yield* environment
    const given = {
      buildctl,
      address: Option.isSome(daemon) ? yield* daemonInMemory(daemon.value) : address
    }
    const measures = yield* Effect.forEach(trees, (tree) => measureTree(given, tree))
    return measures.flat()
  }
).pipe(Effect.scoped)
