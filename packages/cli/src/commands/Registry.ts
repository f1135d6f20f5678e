/** `mcpdeploy registry`: what its disk is used for, removing what nothing needs (where the disk is), and the platform's own images. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { Argument, Command, Flag } from "effect/cli"
import { DeployEvents } from "@mcpdeploy/core/domain/DeployEvent"
import { ServiceName } from "@mcpdeploy/core/domain/Identity"
import { ImageTag, internalRegistry, PlatformImage } from "@mcpdeploy/core/domain/Image"
import { GitRef, RepositoryUrl } from "@mcpdeploy/core/domain/Source"
import { publishPlatformImage } from "@mcpdeploy/core/pipeline/PublishPlatformImage"
import { collect } from "@mcpdeploy/core/gc/GarbageCollection"
import { RegistryStorage } from "@mcpdeploy/core/gc/RegistryStorage"
import { type RegistryUsage, usageOf } from "@mcpdeploy/core/gc/Usage"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { makeShow } from "../Progress.ts"
import { operationsLayer, pipelineLayer } from "../Region.ts"
import { formatOf, terminal } from "../Terminal.ts"
import { announce, orFail, print, root, usage as usageError } from "./Root.ts"

const storage = Flag.String("storage").pipe(
  Flag.withDescription("The registry's rootdirectory on this machine"),
  Flag.withDefault("/var/lib/registry")
)
const graceHours = Flag.Finite("grace").pipe(
  Flag.withDescription("Hours: what is younger stays. Longer than any build, push and rollout together"),
  Flag.withDefault(6)
)
const units = ["B", "kB", "MB", "GB", "TB"]
const size = (bytes: number): string => {
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

const gc = Command.make(
  "gc",
  {
    storage,
    grace: graceHours,
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Only say what would be removed"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("registry.gc")(function* ({ dryRun, grace, storage: root }) {
    yield* announce(
      dryRun
        ? `looking for what nothing needs below ${root}; nothing is removed`
        : `removing from ${root} what nothing needs and is older than ${grace} hours; --dry-run only shows it`
    )
    const collected = yield* orFail(
      collect({ storage: new RegistryStorage(root), graceSeconds: grace * 3600, dryRun })
    )
    const { blobs, busy, bytes, links, manifests } = collected
    yield* print(
      [
        ...manifests.map((manifest) => `- ${manifest}`),
        `${manifests.length} images, ${links} layer links and ${blobs} blobs (${size(bytes)}) ${dryRun ? "would go" : "removed"}`,
        ...(links > 0 && !dryRun
          ? [`what the links held goes in a run that is ${grace} hours from now or later`]
          : []),
        ...(busy.length > 0 ? [`left alone, since they are being deployed: ${busy.join(", ")}`] : [])
      ].join("\n"),
      { ...collected, dryRun }
    )
  })
).pipe(
  Command.withDescription(
    "Remove images that do not run, are in no kept receipt, and are older than --grace. Deletes files below --storage, on the registry's own machine, and cannot be undone: see --dry-run. Asks the cluster what it needs, reads every manifest on the disk (some minutes for a large one); safe while pushes run, downtime none. What it frees is seen after a second run, --grace later"
  ),
  Command.provide(operationsLayer)
)

/** In Prometheus' text format, for node_exporter's textfile collector. */
const metrics = ({ bytes, disk, rooted }: RegistryUsage): string =>
  [
    ["mcpdeploy_registry_bytes", "Bytes of all blobs", bytes],
    ["mcpdeploy_registry_rooted_bytes", "Bytes of blobs that something needs", rooted],
    ["mcpdeploy_registry_disk_free_bytes", "Free bytes of the registry's disk", disk.free],
    ["mcpdeploy_registry_disk_bytes", "Bytes of the registry's disk", disk.total]
  ]
    .map(([name, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`)
    .join("")

const largest = 20

const usage = Command.make(
  "usage",
  {
    storage,
    grace: graceHours,
    warn: Flag.Finite("warn-below").pipe(
      Flag.withDescription("Per cent of the disk: fails when less is free"),
      Flag.withDefault(15)
    ),
    metrics: Flag.String("metrics").pipe(
      Flag.withDescription("Write the figures to this file too, in Prometheus' text format"),
      Flag.optional
    )
  },
  Effect.fn("registry.usage")(function* ({ grace, metrics: file, storage: root, warn }) {
    const found = yield* orFail(usageOf(new RegistryStorage(root), grace * 3600))
    const { bytes, disk, projects, rooted } = found
    const free = (disk.free / disk.total) * 100
    if (Option.isSome(file)) {
      const fs = yield* FileSystem.FileSystem
      // Written beside, then renamed: the collector never reads half of it.
      yield* usageError(fs.writeFileString(`${file.value}.new`, metrics(found)))
      yield* usageError(fs.rename(`${file.value}.new`, file.value))
    }
    yield* print(
      [
        `disk        ${size(disk.free)} free of ${size(disk.total)} (${free.toFixed(0)} %)`,
        `images      ${size(bytes)}`,
        `  needed    ${size(rooted)}`,
        `  can go    ${size(bytes - rooted)}: mcpdeploy registry gc`,
        ...projects.slice(0, largest).map((one) => `${size(one.bytes).padStart(10)}  ${one.project}`),
        ...(projects.length > largest ? [`            and ${projects.length - largest} smaller ones`] : [])
      ].join("\n"),
      found
    )
    if (free < warn)
      return yield* new CommandFailed({
        exitCode: exitCodes.failed,
        detail: `only ${free.toFixed(1)} % of the registry's disk is free: collect garbage, or give it a larger one before pushes fail`
      })
  })
).pipe(
  Command.withDescription(
    "Show what the registry's disk is used for; fails when it is nearly full. Reads every manifest below --storage, on the registry's own machine; writes nothing but --metrics"
  ),
  Command.provide(operationsLayer)
)

const publish = Command.make(
  "publish",
  {
    component: Argument.String("component").pipe(
      Argument.withDescription("The image's name: deployer becomes mcpdeploy/deployer"),
      Argument.withSchema(ServiceName)
    ),
    repository: Flag.String("repository").pipe(
      Flag.withDescription("URL of the platform's Git repository, with the Dockerfile at its root"),
      Flag.withSchema(RepositoryUrl)
    ),
    ref: Flag.String("ref").pipe(
      Flag.withDescription("Branch, tag or commit"),
      Flag.withDefault("HEAD"),
      Flag.withSchema(GitRef)
    ),
    tag: Flag.String("tag").pipe(
      Flag.withDescription("What the manifests say, such as 0.1.0"),
      Flag.withSchema(ImageTag)
    ),
    timeout: Flag.Int("timeout").pipe(
      Flag.withDescription("Seconds that the build may take"),
      Flag.withDefault(1800)
    )
  },
  Effect.fn("registry.publish")(function* ({ component, ref, repository, tag, timeout }) {
    const image = new PlatformImage({ registry: internalRegistry, component, tag })
    yield* announce(
      `building ${repository} at ${ref}; then ${image} is what was built, whatever it was before`
    )
    const { json, verbose } = yield* root
    const show = yield* makeShow(terminal, formatOf(json), verbose)
    const published = yield* orFail(
      publishPlatformImage({ image, repository: { url: repository }, ref, timeoutSeconds: timeout }).pipe(
        Effect.provideService(DeployEvents, (event) => show(component, event))
      )
    )
    yield* print(`${image} is ${published.digest}, of commit ${published.commit}`, {
      image: String(image),
      ...published
    })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Build an image of the platform itself from a Git commit on the region's builder (some minutes), and publish it. Replaces what the tag names; changes nothing in the cluster, which takes it with its next rollout"
  ),
  Command.provide(pipelineLayer)
)

export const registry = Command.make("registry").pipe(
  Command.withDescription(
    "For operators: the registry's disk, and the platform's own images. gc deletes, publish writes, usage reads"
  ),
  Command.withSubcommands([gc, usage, publish])
)
