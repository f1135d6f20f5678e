/** From the service file and the command line to deploy requests and service targets. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import {
  BuildSpec,
  DeployRequest,
  dockerfileOf,
  Generation,
  SourceSpec
} from "@mcpdeploy/core/domain/DeployRequest"
import { Owner, ServiceName, ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import { GitRef, GitRepository, RepositoryPath } from "@mcpdeploy/core/domain/Source"
import type { ServiceFile, ServiceSection } from "./ServiceFile.ts"

/** The command line asks for something that cannot be done as asked. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return this.detail
  }
}

const decodeOwner = Schema.decodeUnknownEffect(Owner)

/** The services that a command is about: the named ones, or all of the file's. */
export const servicesOf = (
  file: ServiceFile,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<readonly [ServiceName, ServiceSection]>, InvalidInput> => {
  const all = Object.entries(file.services).map(([name, section]): readonly [ServiceName, ServiceSection] => [
    ServiceName.make(name),
    section
  ])
  const unknown = names.find((name) => !(name in file.services))
  if (unknown !== undefined) {
    return Effect.fail(
      new InvalidInput({
        detail: `the service file has no service "${unknown}"; it has ${Object.keys(file.services).join(", ")}`
      })
    )
  }
  if (all.length === 0) return Effect.fail(new InvalidInput({ detail: "the service file names no service" }))
  return Effect.succeed(names.length === 0 ? all : all.filter(([name]) => names.includes(name)))
}

/** The file's user and project, or what is wrong with their names. */
export const ownerOf = ({ project, user }: Pick<ServiceFile, "user" | "project">) =>
  decodeOwner({ user, project }).pipe(Effect.mapError((error) => new InvalidInput({ detail: error.message })))

/** A service of the file, by its owner and name. */
export const targetOf = Effect.fnUntraced(function* (file: ServiceFile, service: ServiceName) {
  return new ServiceTarget({ owner: yield* ownerOf(file), service })
})

/** The request of one service. What the file does not say of the source is that of the repository around `directory`. */
export const requestOf = Effect.fn("requestOf")(function* (options: {
  readonly file: ServiceFile
  readonly service: ServiceName
  readonly section: ServiceSection
  readonly directory: string
  readonly ref: GitRef | undefined
  readonly generation: Generation | undefined
}) {
  const { directory, file, generation, ref, section, service } = options
  const path = yield* Path.Path
  const owner = yield* ownerOf(file)
  const here = section.source?.repository === undefined ? yield* repositoryAround(directory) : undefined
  const repository = section.source?.repository ?? here?.repository
  if (repository === undefined) {
    return yield* new InvalidInput({ detail: `service "${service}" names no source.repository` })
  }
  // Of the repository around the service file, a folder is named as seen from that file.
  const rootDirectory = path.join(here?.rootDirectory ?? ".", section.source?.rootDirectory ?? ".")
  const source = new SourceSpec({
    repository,
    ref: ref ?? section.source?.ref ?? GitRef.make("HEAD"),
    rootDirectory: yield* decodePath(rootDirectory).pipe(
      Effect.mapError((error) => new InvalidInput({ detail: error.message }))
    )
  })
  const build = section.build ?? new BuildSpec({})
  if (dockerfileOf({ build, source }) === undefined) {
    return yield* new InvalidInput({
      detail: `service "${service}": build.dockerfile, ${build.dockerfile}, leads out of the repository as seen from the root directory, ${rootDirectory}`
    })
  }
  return new DeployRequest({
    owner,
    service,
    source,
    build,
    run: section.run,
    ...(section.trigger === undefined ? {} : { trigger: section.trigger }),
    generation: generation ?? Generation.make(yield* Clock.currentTimeMillis)
  })
})

const decodeRepository = Schema.decodeUnknownEffect(GitRepository)
const decodePath = Schema.decodeUnknownEffect(RepositoryPath)

/** The git repository in which a folder stands. */
const repositoryAround = Effect.fnUntraced(function* (directory: string) {
  const path = yield* Path.Path
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const top = yield* Effect.scoped(
    Effect.gen(function* () {
      const git = yield* spawner.spawn(
        ChildProcess.make("git", ["-C", directory, "rev-parse", "--show-toplevel"], { extendEnv: true })
      )
      const [output, code] = yield* Effect.all(
        [Stream.mkString(Stream.decodeText(git.stdout)), git.exitCode, Stream.runDrain(git.stderr)],
        { concurrency: "unbounded" }
      )
      return code === 0 ? output.replace(/\n$/, "") : undefined
    })
  ).pipe(
    Effect.timeout("10 seconds"),
    Effect.mapError(
      (error) => new InvalidInput({ detail: `git cannot be asked about ${directory}: ${error.message}` })
    )
  )
  if (top === undefined) {
    return yield* new InvalidInput({
      detail: `${directory} is not in a git repository: name source.repository in the service file, or commit the code first`
    })
  }
  const relative = path.relative(top, directory)
  return yield* Effect.all({
    repository: decodeRepository({ url: String(yield* path.toFileUrl(top)) }),
    rootDirectory: decodePath(relative === "" ? "." : relative.split(path.sep).join("/"))
  }).pipe(Effect.mapError((error) => new InvalidInput({ detail: error.message })))
})
