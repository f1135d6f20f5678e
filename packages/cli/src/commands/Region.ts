/** `mcpdeploy region`: the ground that a region stands on, by its directory. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { Argument, Command, Flag } from "effect/cli"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { networkZones } from "@mcpdeploy/provider-hetzner/HetznerSettings"
import { decodeRegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { readRegion, RegionName, variablesFile } from "@mcpdeploy/core/region/Region"
import {
  nameOf,
  RegionApplied,
  type RegionChange,
  RegionPlan,
  type RegionWaiting
} from "@mcpdeploy/core/region/RegionInfrastructure"
import { CommandFailed, exitCodes } from "../ExitCode.ts"
import { printable } from "../Printable.ts"
import { CheckedStep, checklist } from "../region/Checklist.ts"
import { likewise, newRegionFiles, renamed, vaultExample, vaultOf, type Vendor } from "../region/NewRegion.ts"
import { directoryOf, infrastructureOf } from "../region/Providers.ts"
import { readState } from "../region/ReadState.ts"
import { announce, orFail, print, usage } from "./Root.ts"

const name = Argument.String("region").pipe(
  Argument.withDescription("Its name, such as eu-central-1, or the path of its directory")
)
const regions = Flag.String("regions").pipe(
  Flag.withDescription("Where the directories of regions are"),
  Flag.withDefault("regions")
)

const only = Flag.String("only").pipe(
  Flag.withDescription("One of the region's providers, without the others; repeatable"),
  Flag.atLeast(0)
)

/** What providers do while they apply, for the person who waits: on standard error, so that results stay apart. */
const progress = Logger.layer([
  Logger.make(({ message }) => {
    process.stderr.write(`${printable(String(message))}\n`)
  })
])

/** The region that is meant, its directory, and its vendors. */
const open = Effect.fn("open")(function* (from: string, which: string, of: ReadonlyArray<string>) {
  const directory = yield* directoryOf(from, which)
  const region = yield* usage(readRegion(directory))
  return { region, infrastructure: yield* infrastructureOf(directory, region, of) }
})

const signs = { create: "+", update: "~", adopt: "=", delete: "-" } as const

const changeText = (change: RegionChange): string =>
  [
    `${signs[change.action]} ${change.action} ${printable(nameOf(change))}`,
    ...change.diff.map((line) => `    ${printable(line)}`),
    ...(change.destructive ? [`    only with --allow "${printable(nameOf(change))}"`] : [])
  ].join("\n")

const waitingText = ({ detail, provider }: RegionWaiting): string =>
  `… ${provider} waits: ${printable(detail)}`

const count = (many: number, of: string): string => `${many} ${of}${many === 1 ? "" : "s"}`

const encodePlan = Schema.encodeEffect(RegionPlan)
const encodeApplied = Schema.encodeEffect(RegionApplied)
const encodeStep = Schema.encodeEffect(CheckedStep)

const plan = Command.make(
  "plan",
  { name, regions, only },
  Effect.fn("region.plan")(function* ({ name: which, only: of, regions: from }) {
    const { infrastructure } = yield* open(from, which, of)
    const found = yield* orFail(infrastructure.plan)
    const text = [
      ...found.changes.map(changeText),
      ...found.conflicts.map((conflict) => `✗ ${printable(nameOf(conflict))}: ${printable(conflict.detail)}`),
      ...found.waiting.map(waitingText),
      found.changes.length === 0 && found.conflicts.length === 0 && found.waiting.length === 0
        ? "nothing has to change"
        : `${count(found.changes.length, "change")}, ${count(found.conflicts.length, "conflict")}`
    ].join("\n")
    yield* print(text, yield* Effect.orDie(encodePlan(found)))
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Show what has to change at the region's vendors. Reads there with the region's tokens (some seconds, some hundred requests at most); changes nothing"
  )
)

const apply = Command.make(
  "apply",
  {
    name,
    regions,
    only,
    allow: Flag.String("allow").pipe(
      Flag.withDescription(
        "A destructive change that may be made, by the name that the plan shows; repeatable"
      ),
      Flag.atLeast(0)
    )
  },
  Effect.fn("region.apply")(
    function* ({ allow, name: which, only: of, regions: from }) {
      const { infrastructure, region: found } = yield* open(from, which, of)
      yield* announce(
        `changing ${found.name} at its vendors as \`mcpdeploy region plan ${which}\` shows; ${
          allow.length === 0
            ? "nothing that costs money or takes something away"
            : `of what costs money or takes something away only ${allow.join(", ")}`
        }`
      )
      const { left, made, waiting } = yield* orFail(infrastructure.apply(new Set(allow)))
      const text = [
        ...made.map((change) => `${signs[change.action]} ${change.action} ${printable(nameOf(change))}`),
        ...left.map(changeText),
        ...waiting.map(waitingText),
        `${count(made.length, "change")} made, ${left.length} left`
      ].join("\n")
      yield* print(text, yield* Effect.orDie(encodeApplied({ left, made, waiting })))
    },
    Effect.scoped,
    Effect.provide(progress)
  )
).pipe(
  Command.withDescription(
    "Make the region's vendors as its directory says: what plan shows, no more. Takes minutes where machines are made. What costs money, takes something away or changes what other regions share is done only by --allow. Killed and run again, it goes on where it was"
  )
)

const verify = Command.make(
  "verify",
  { name, regions, only },
  Effect.fn("region.verify")(function* ({ name: which, only: of, regions: from }) {
    const { infrastructure, region: found } = yield* open(from, which, of)
    yield* orFail(infrastructure.verify)
    yield* print(`region ${found.name} is as its directory says`, { region: found.name, verified: true })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Succeed where nothing has to change, as plan finds it; for a schedule. Changes nothing"
  )
)

const stepSigns = { done: "✓", missing: "✗", person: "☐" } as const

const stepText = ({ detail, state, step, title, todo }: CheckedStep): string =>
  [
    `${stepSigns[state]} ${step}. ${title}`,
    ...detail.split("\n").map((line) => `     ${printable(line)}`),
    ...(todo === undefined ? [] : todo.split("\n").map((line) => `     → ${printable(line)}`))
  ].join("\n")

const check = Command.make(
  "check",
  {
    name,
    regions,
    ansible: Flag.String("ansible").pipe(
      Flag.withDescription("Where the Ansible roles are"),
      Flag.withDefault("ansible")
    )
  },
  Effect.fn("region.check")(function* ({ ansible, name: which, regions: from }) {
    const steps = checklist(yield* readState(yield* directoryOf(from, which), ansible))
    for (const step of steps) yield* print(stepText(step), yield* Effect.orDie(encodeStep(step)))
    const lacking = steps.filter(({ state }) => state === "missing").length
    if (lacking > 0)
      return yield* new CommandFailed({
        exitCode: exitCodes.failed,
        detail: `${lacking} of ${steps.length} steps are missing`
      })
  })
).pipe(
  Command.withDescription(
    "Show which of the nine steps of a new region are done, and what to do. Reads the region's directory and its vendors; changes nothing"
  )
)

const decodeName = Schema.decodeUnknownEffect(RegionName)
const decodeDomain = Schema.decodeUnknownEffect(PlatformDomain)

const vendorOf = (
  provider: "hetzner" | "none",
  location: string | undefined
): Effect.Effect<Vendor, CommandFailed> => {
  if (provider === "none") return Effect.undefined
  const zone = networkZones[location ?? ""]
  return location === undefined || zone === undefined
    ? Effect.fail(
        new CommandFailed({
          exitCode: exitCodes.usage,
          detail: `say with --location where at Hetzner: ${Object.keys(networkZones).join(", ")}`
        })
      )
    : Effect.succeed({ name: provider, location, zone })
}

/** A file, or the files of a folder at any depth, relative to the directory. */
const filesBelow = Effect.fn("filesBelow")(function* (directory: string, part: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const isFile = (file: string) =>
    Effect.map(usage(fs.stat(path.join(directory, file))), ({ type }) => type === "File")
  if (yield* isFile(part)) return [part]
  const all = yield* usage(fs.readDirectory(path.join(directory, part), { recursive: true }))
  return yield* Effect.filter(
    all.map((file) => path.join(part, file)),
    isFile
  )
})

const layOut = Command.make(
  "new",
  {
    name: Argument.String("region").pipe(Argument.withDescription("Its name, such as us-east-1")),
    regions,
    provider: Flag.Literals("provider", ["hetzner", "none"]).pipe(
      Flag.withDescription("Whose API makes network and load balancer; none: a person does")
    ),
    location: Flag.String("location").pipe(
      Flag.withDescription(`Where at Hetzner: ${Object.keys(networkZones).join(", ")}`),
      Flag.optional
    ),
    domain: Flag.String("domain").pipe(
      Flag.withDescription("The platform's domain"),
      Flag.withDefault("ml.ink")
    ),
    like: Flag.String("like").pipe(
      Flag.withDescription("The region whose manifests, versions and group variables are copied"),
      Flag.withDefault("eu-central-1")
    )
  },
  Effect.fn("region.new")(function* ({ domain, like, location, name: text, provider, regions: from }) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const made = yield* usage(decodeName(text))
    const directory = path.join(from, made)
    if (yield* usage(fs.exists(directory)))
      return yield* new CommandFailed({ exitCode: exitCodes.usage, detail: `${directory} is there already` })
    const layout = {
      name: made,
      domain: yield* usage(decodeDomain(domain)),
      vendor: yield* vendorOf(provider, Option.getOrUndefined(location))
    }
    const original = path.join(from, like)
    const read = (file: string) => usage(fs.readFileString(path.join(original, file)))
    const likeness = {
      name: like,
      domain: (yield* usage(readRegion(original))).domain,
      variables: yield* read(variablesFile),
      processes: yield* usage(decodeRegionFile(yield* read("region.json")))
    }
    const copied = yield* Effect.forEach(likewise, (part) => filesBelow(original, part))
    const files = new Map<string, string>()
    for (const file of copied.flat()) files.set(file, renamed(yield* read(file), layout, likeness))
    files.set(vaultExample, vaultOf(yield* read(vaultExample), layout))
    for (const [file, content] of newRegionFiles(layout, likeness)) files.set(file, content)
    // Made beside, then renamed: the directory is there whole or not at all.
    const unfinished = yield* usage(fs.makeTempDirectoryScoped({ directory: from, prefix: `.${made}-` }))
    const whole = path.join(unfinished, made)
    for (const [file, content] of files) {
      const target = path.join(whole, file)
      yield* usage(fs.makeDirectory(path.dirname(target), { recursive: true }))
      yield* usage(fs.writeFileString(target, content))
    }
    yield* usage(fs.rename(whole, directory))
    yield* print(`${directory} is laid out; next: mcpdeploy region check ${made}`, {
      region: made,
      directory,
      files: [...files.keys()].toSorted()
    })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Lay out the directory of a new region below --regions. Writes these files alone, and asks no vendor"
  )
)

export const region = Command.make("region").pipe(
  Command.withDescription(
    "For operators: the ground that a region stands on: machines' network, load balancer, firewall, DNS. Only apply changes something at vendors"
  ),
  Command.withSubcommands([check, plan, apply, verify, layOut])
)
