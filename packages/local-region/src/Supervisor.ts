/**
 * The program inside the bundle: starts every server as soon as its tools are there, in parallel, and ends the region
 * with the first one that fails. What it reports goes to the folder's event file.
 */
import { appendFileSync } from "node:fs"
import { join } from "node:path"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Certificates from "./Certificates.ts"
import { run } from "./Command.ts"
import { type DataFolder, dataFolder } from "./DataFolder.ts"
import * as Health from "./Health.ts"
import * as ProgramImage from "./images/ProgramImage.ts"
import { type LocalRegionReason, RegionEnded } from "./LocalRegionError.ts"
import * as Network from "./Network.ts"
import { RegionEvent } from "./RegionEvent.ts"
import { type BundleSettings, type RegionEndpoints, SettingsFile } from "./RegionState.ts"
import * as Acme from "./servers/Acme.ts"
import * as BuildKit from "./servers/BuildKit.ts"
import * as Containerd from "./servers/Containerd.ts"
import * as CoreDns from "./servers/CoreDns.ts"
import * as Gitea from "./servers/Gitea.ts"
import * as Kubernetes from "./servers/Kubernetes.ts"
import * as Registry from "./servers/Registry.ts"
import * as Temporal from "./servers/Temporal.ts"
import * as Traefik from "./servers/Traefik.ts"
import * as Slirp from "./Slirp.ts"
import { Supervision } from "./Supervision.ts"
import { debianFolders } from "./Tools.ts"
import { folderOf } from "./Toolchain.ts"

export const endpointsOf = (folder: DataFolder, settings: BundleSettings): RegionEndpoints => ({
  dataFolder: folder.root,
  kubeconfig: folder.kubeconfig,
  buildkit: { address: `unix://${folder.buildkitSocket}` },
  registry: { name: Network.registryName, endpoint: `http://127.0.0.1:${settings.ports.registry}` },
  ingress: {
    http: `http://127.0.0.1:${settings.ports.http}`,
    https: `https://127.0.0.1:${settings.ports.https}`,
    className: "traefik"
  },
  ...(settings.parts.temporal === true ? { temporal: Temporal.endpoint(settings) } : {}),
  ...(settings.parts.gitea === true ? { gitea: Gitea.endpoint(folder, settings) } : {}),
  ...(settings.parts.acme === true
    ? {
        acme: {
          nameServer: `127.0.0.1:${settings.ports.dns}`,
          zones: Acme.zonesFolder(folder),
          root: Acme.rootFile(folder),
          issuer: Acme.issuer,
          cnameTarget: Acme.cnameTarget,
          loadBalancer: Acme.loadBalancer
        }
      }
    : {}),
  pid: 0
})

const encodeEvent = Schema.encodeSync(Schema.fromJsonString(RegionEvent))

const setUpNetwork = Effect.gen(function* () {
  const { folder, settings, fail } = yield* Supervision
  yield* Slirp.forwardPorts(folder.slirpSocket, settings.ports)
  yield* run("sh", ["-c", Network.setUp])
  yield* run("iptables-restore", ["--noflush"], { stdin: Network.firewall(settings.machineAddresses) })
  yield* run("ip6tables-restore", ["--noflush"], { stdin: Network.firewall6 })
  const inBuilds = (command: string, args: ReadonlyArray<string>, stdin?: string) =>
    run("nsenter", [...Network.inBuilds, command, ...args], stdin === undefined ? {} : { stdin })
  yield* inBuilds("sh", ["-c", Network.setUpBuilds])
  yield* inBuilds("iptables-restore", ["--noflush"], Network.buildsFirewall)
  yield* inBuilds("ip6tables-restore", ["--noflush"], Network.buildsFirewall6)
  yield* Slirp.awaitEnd(folder.root).pipe(
    Effect.andThen(
      fail(new RegionEnded({ detail: `slirp4netns ended; see ${folder.logs}/slirp4netns.log` }))
    ),
    Effect.forkScoped
  )
})

/** Pods start with the pause image, so it must be in the registry before the first of them. */
const pushPause = Effect.gen(function* () {
  const { program } = yield* Supervision
  yield* ProgramImage.push(`http://127.0.0.1:${Network.guestPorts.registry}`, {
    repository: "mcpdeploy/pause",
    tag: "1",
    program: yield* program("registry", "pause")
  })
})

/** Kubelet backs off for long when it is started before the API server. */
const apiServerAccepts = Health.accepts({ host: "127.0.0.1", port: Network.guestPorts.api }).pipe(
  Effect.retry(Schedule.spaced("200 millis")),
  Effect.mapError((error) => new RegionEnded({ detail: error.detail }))
)

const startAll = Effect.gen(function* () {
  const { folder, settings, report } = yield* Supervision
  yield* Effect.all([setUpNetwork, Certificates.ensure(folder.certificates)], {
    concurrency: 2,
    discard: true
  })
  const builds = Effect.gen(function* () {
    yield* Effect.all(
      [
        settings.parts.registry ? Effect.andThen(Registry.start(), pushPause) : Effect.void,
        settings.parts.buildkit
          ? Effect.andThen(
              settings.parts.registry ? Registry.startForBuilds() : Effect.void,
              BuildKit.start()
            )
          : Effect.void
      ],
      { concurrency: 2 }
    )
    yield* report({ _tag: "BuildReady", endpoints: endpointsOf(folder, settings) })
  })
  const controlPlane = Effect.gen(function* () {
    yield* Effect.all([Kubernetes.kubeconfigs(), Kubernetes.startEtcd()], { concurrency: 2 })
    yield* Kubernetes.startApiServer()
    yield* Effect.all(
      [
        Kubernetes.startControllers(),
        Kubernetes.startScheduler(),
        Kubernetes.startProxy(),
        Effect.andThen(
          Kubernetes.applyClusterObjects(),
          Effect.all([CoreDns.start(), Traefik.start()], { concurrency: 2 })
        )
      ],
      { concurrency: "unbounded", discard: true }
    )
  })
  const node = Effect.gen(function* () {
    yield* Containerd.start()
    yield* apiServerAccepts
    yield* Kubernetes.startKubelet()
    yield* Kubernetes.awaitNode()
  })
  const cluster = settings.parts.cluster ? [controlPlane, node] : []
  const own = [
    ...(settings.parts.temporal === true ? [Temporal.start()] : []),
    ...(settings.parts.gitea === true ? [Gitea.start()] : [])
  ]
  yield* Effect.all([builds, ...cluster, ...own], { concurrency: "unbounded", discard: true })
  if (settings.parts.acme === true) yield* Acme.start()
})

/** Runs until a server fails or the process is told to end. */
export const supervise = Effect.fn("Supervisor.supervise")(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = dataFolder(root)
  const settings = yield* Effect.flatMap(
    fs.readFileString(folder.settings),
    Schema.decodeUnknownEffect(SettingsFile)
  )
  const begun = yield* Clock.currentTimeMillis
  const failure = yield* Deferred.make<never, LocalRegionReason>()
  const report = (event: RegionEvent) =>
    Effect.sync(() => appendFileSync(folder.events, `${encodeEvent(event)}\n`))
  const supervision = Supervision.of({
    folder,
    settings,
    path: [...debianFolders, process.env["PATH"] ?? ""].join(":"),
    report,
    fail: (reason) => Effect.asVoid(Deferred.fail(failure, reason)),
    program: (tool, name) => {
      const own = settings.tools[tool]
      const path = join(own ?? folderOf(name) ?? "/usr/bin", name)
      return fs.exists(path).pipe(
        Effect.orElseSucceed(() => false),
        Effect.repeat({ schedule: Schedule.spaced("250 millis"), until: (there) => there }),
        Effect.as(path)
      )
    }
  })
  return yield* startAll.pipe(
    Effect.andThen(
      Effect.gen(function* () {
        const seconds = ((yield* Clock.currentTimeMillis) - begun) / 1000
        yield* report({ _tag: "RegionReady", endpoints: endpointsOf(folder, settings), seconds })
        return yield* Effect.never
      })
    ),
    Effect.raceFirst(Deferred.await(failure)),
    Effect.catchTag("PlatformError", (error) => Effect.fail(new RegionEnded({ detail: error.message }))),
    Effect.tapError((reason) => report({ _tag: "RegionFailed", reason })),
    Effect.provideService(Supervision, supervision)
  )
}, Effect.scoped)
