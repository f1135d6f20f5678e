import { buildKey, type BuildInputs } from "@mcpdeploy/core/domain/BuildKey"
import { decodeDeployRequest, DeployRequest, dockerfileOf } from "@mcpdeploy/core/domain/DeployRequest"
import {
  CommitSha,
  GitRepository,
  DockerfilePath,
  dockerfileInRepository,
  RepositoryPath,
  RepositoryUrl,
  SecretRef
} from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as path from "node:path/posix"

const valid = {
  owner: { user: "ann", project: "shop" },
  service: "web",
  source: { repository: { url: "https://github.com/ann/shop" }, ref: "main" },
  build: {},
  run: { port: 8080 },
  generation: 1
}

type Json = { readonly [key: string]: unknown }
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null

/** `valid` with one field, named by its path, set to another value. */
const withField = (path: ReadonlyArray<string>, value: unknown, object: Json = valid): Json => {
  const [key = "", ...rest] = path
  const inner = object[key]
  return { ...object, [key]: rest.length === 0 ? value : withField(rest, value, isJson(inner) ? inner : {}) }
}

/** Some beginning of the path lies above where it begins. */
const climbs = (text: string): boolean =>
  text.split("/").some((_, end, parts) => path.normalize(parts.slice(0, end + 1).join("/")).startsWith(".."))

describe("a deploy request", () => {
  it.effect("comes back from its encoded form as it was", () =>
    Effect.gen(function* () {
      const request = yield* decodeDeployRequest(valid)
      const encoded = yield* Schema.encodeEffect(DeployRequest)(request)
      assert.deepStrictEqual(yield* decodeDeployRequest(encoded), request)
      assert.strictEqual(request.target.key, "ann/shop/web")
    })
  )

  for (const [path, value, expected] of [
    [["owner", "user"], "Ann", "lower-case letters"],
    [["owner", "project"], "-x", "beginning with a letter or digit"],
    [["service"], "1web", "beginning with a letter"],
    [["service"], "x".repeat(64), "63"],
    [["source", "repository", "url"], "git@github.com:a/b", "https://github.com/owner/repository"],
    [["source", "repository", "url"], "https://ann:pw@github.com/a/b", "without credentials"],
    [["source", "ref"], "--upload-pack=x", "a branch, a tag"],
    [["source", "rootDirectory"], "../x", "stays inside the repository"],
    [["source", "repository", "credentials"], { password: "hunter2" }, "env:NAME or file:/absolute/path"],
    [["build", "dockerfile"], "/etc/passwd", "relative to the repository's root"],
    [["build", "args"], { "A=B": "x" }, "an argument's name"],
    [["build", "args"], { "A B": "x" }, "an argument's name"],
    [["build", "dockerfile"], "../Dockerfile", "stays inside the repository"],
    [["build", "dockerfile"], "a/../../b", "stays inside the repository"],
    [["build", "dockerfile"], "a/../.git/config", "outside of .git"],
    [["build", "secrets"], { "a b": "env:X" }, "a secret's id"],
    [["build", "timeoutSeconds"], 0, "between 1 and 7200"],
    [["run", "port"], 70000, "between 1 and 65535"],
    [["run", "port"], "8080", "number"],
    [["run", "env"], { "": "x" }, "a variable's name"],
    [["run", "env"], { "A\n": "x" }, "a variable's name"],
    [["run", "secrets"], { Ä: "env:X" }, "a variable's name"],
    [["run", "env"], { A: "a\u0000b" }, "without NUL"],
    [["run", "env"], { PORT: "1" }, "it is set from run.port"],
    [["run", "secrets"], { A: "the value itself" }, "env:NAME or file:/absolute/path"],
    [["run", "cpu"], "0", "CPU such as 500m"],
    [["run", "memory"], "1G", "memory such as 256Mi"],
    [["run", "healthCheck"], { path: "health" }, 'a path that begins with "/"'],
    [["run", "healthCheck", "periodSeconds"], 0, "between 1 and 300"],
    [["run", "healthCheck", "grpcService"], "shop.v1.Cart", "run.protocol h2c"],
    [["run"], { port: 1, protocol: "h2c", healthCheck: { path: "/" } }, "run.healthCheck.grpcService"],
    [["run", "protocol"], "grpc", '"http" | "h2c"'],
    [["run", "replica"], 3, "no excess property"],
    [["run", "command"], [], "Missing key"]
  ] as const) {
    it.effect(
      `with ${path.join(".")} = ${JSON.stringify(value).slice(0, 40)} says where, and what was expected`,
      () =>
        Effect.gen(function* () {
          const { message } = yield* Effect.flip(decodeDeployRequest(withField(path, value)))
          assert.include(message, path.map((key) => `["${key}"]`).join(""))
          assert.include(message, expected)
        })
    )
  }

  it.effect("takes a Dockerfile outside the root directory and inside the repository", () =>
    Effect.gen(function* () {
      for (const [rootDirectory, dockerfile, place] of [
        ["apps/web", "../../docker/web.Dockerfile", "docker/web.Dockerfile"],
        ["./apps//web/", "./../Dockerfile", "apps/Dockerfile"],
        [".", "a/../b", "b"]
      ] as const) {
        const source = { ...valid.source, rootDirectory }
        const request = yield* decodeDeployRequest({ ...valid, source, build: { dockerfile } })
        assert.strictEqual(dockerfileOf(request), place)
        assert.strictEqual(String(request.build.dockerfile), dockerfile)
      }
      const source = { ...valid.source, rootDirectory: "apps/web" }
      const outside = { ...valid, source, build: { dockerfile: "../../../Dockerfile" } }
      const { message } = yield* Effect.flip(decodeDeployRequest(outside))
      assert.include(message, '["build"]["dockerfile"]')
    })
  )

  it.prop(
    "finds a Dockerfile where a shell in the root directory would, or not in the repository",
    [
      Schema.Array(Schema.Literals(["a", "b", ".", ""])),
      Schema.NonEmptyArray(Schema.Literals(["..", "a", ".", "c"]))
    ],
    ([root, file]) => {
      const [rootDirectory, dockerfile] = [["x", ...root].join("/"), file.join("/")]
      const found = path.relative("/r", path.join("/r", rootDirectory, dockerfile)) || "."
      assert.strictEqual(
        dockerfileInRepository(RepositoryPath.make(rootDirectory), DockerfilePath.make(dockerfile)),
        climbs(`${rootDirectory}/${dockerfile}`) ? undefined : found
      )
    }
  )

  it.effect("takes a health check of a path, of a gRPC service, or of the port alone", () =>
    Effect.gen(function* () {
      for (const run of [
        { healthCheck: { path: "/up", periodSeconds: 30 } },
        { protocol: "http", healthCheck: { periodSeconds: 60 } },
        { protocol: "h2c" },
        { protocol: "h2c", healthCheck: { grpcService: "" } }
      ])
        yield* decodeDeployRequest(withField(["run"], { port: 8080, ...run }))
    })
  )

  it.effect("names all wrong fields at once", () =>
    Effect.gen(function* () {
      const wrong = withField(["run", "port"], 0, withField(["service"], "A"))
      const { message } = yield* Effect.flip(decodeDeployRequest(wrong))
      assert.include(message, '["service"]')
      assert.include(message, '["run"]["port"]')
    })
  )

  it.effect("takes values of variables as they are: line breaks, quotes, YAML and shell", () =>
    Effect.gen(function* () {
      const env = { A: "a\nb", B: `"'`, C: "- x: {y", D: "$(touch /tmp/x); `id`", E: "", F: "ünï ☃" }
      const request = yield* decodeDeployRequest(withField(["run", "env"], env))
      assert.deepStrictEqual(request.run.env, env)
    })
  )

  it.effect.prop(
    "comes through JSON with any value, path and ref that it accepts",
    [Schema.String, Schema.String, Schema.String],
    ([value, path, ref]) =>
      Effect.gen(function* () {
        const source = { ...valid.source, rootDirectory: path, ref }
        const input = withField(["source"], source, withField(["run", "env"], { A: value }))
        const decoded = yield* Effect.result(decodeDeployRequest(input))
        if (Result.isFailure(decoded)) return assert.include(decoded.failure.message, "at [")
        const encoded = JSON.stringify(yield* Schema.encodeEffect(DeployRequest)(decoded.success))
        assert.deepStrictEqual(yield* decodeDeployRequest(JSON.parse(encoded)), decoded.success)
      })
  )
})

describe("the size of a deploy request", () => {
  const kib = (count: number): string => "x".repeat(count * 1024)

  for (const [name, path, value, expected] of [
    ["one variable", ["run", "env"], { A: kib(128) }, "Expected at most 130000 bytes, not 131072"],
    ["one of characters with several bytes", ["run", "env"], { A: "ä".repeat(65_001) }, "not 130002"],
    ["one argument", ["build", "args"], { A: kib(128) }, "Expected at most 130000 bytes"],
    ["one word of the command", ["run", "command"], [kib(128)], "Expected at most 130000 bytes"]
  ] as const) {
    it.effect(`has a bound for ${name}`, () =>
      Effect.gen(function* () {
        const { message } = yield* Effect.flip(decodeDeployRequest(withField(path, value)))
        assert.include(message, expected)
      })
    )
  }

  const texts = (size: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: Math.ceil(size / 100_000) }, (_, index) => [
        `V${index}`,
        "x".repeat(Math.min(100_000, size - index * 100_000))
      ])
    )

  for (const [path, name] of [
    [["run", "env"], '["run"]["env"]'],
    [["build", "args"], '["build"]["args"]']
  ] as const) {
    it.effect(`has a bound for all together, which names ${path.join(".")} and its total`, () =>
      Effect.gen(function* () {
        yield* decodeDeployRequest(withField(path, texts(520_000)))
        const { message } = yield* Effect.flip(decodeDeployRequest(withField(path, texts(600_000))))
        assert.match(message, /takes 600,0\d\d of the 600,\d{3} bytes .* 524,288 are allowed/)
        assert.include(message, name)
      })
    )
  }

  it.effect("has a bound for the number of variables, secrets included", () =>
    Effect.gen(function* () {
      const named = (count: number, value: string) =>
        Object.fromEntries(Array.from({ length: count }, (_, index) => [`${value[0]}${index}`, value]))
      const run = (count: number) =>
        withField(["run", "env"], named(count, "x"), withField(["run", "secrets"], named(500, "env:X")))
      yield* decodeDeployRequest(run(500))
      const { message } = yield* Effect.flip(decodeDeployRequest(run(501)))
      assert.include(message, "1,001 variables, secrets included, are more than the 1,000")
    })
  )

  it.effect("of what was stored earlier is read whatever it is", () =>
    Effect.gen(function* () {
      const large = withField(["run", "env"], texts(900_000))
      assert.isString((yield* Effect.flip(decodeDeployRequest(large))).message)
      yield* Schema.decodeUnknownEffect(DeployRequest)(large)
    })
  )
})

describe("a build's key", () => {
  const key = Redacted.make("the platform's key")
  const secretOf = (text: string) => Redacted.make(new TextEncoder().encode(text))
  const inputs: BuildInputs = {
    repository: new GitRepository({ url: RepositoryUrl.make("https://github.com/ann/shop") }),
    commit: CommitSha.make("0123456789abcdef0123456789abcdef01234567"),
    rootDirectory: RepositoryPath.make("."),
    dockerfile: DockerfilePath.make("Dockerfile"),
    args: { A: "1", B: "2" },
    secrets: { npm: secretOf("s3cret") },
    builderVersion: "0.34.2"
  }

  it("does not depend on the order of names, nor on who fetches", () => {
    const first = buildKey(inputs, key)
    assert.match(first, /^[0-9a-f]{32}$/)
    assert.strictEqual(buildKey({ ...inputs, args: { B: "2", A: "1" } }, key), first)
    const credentials = { password: SecretRef.make("env:TOKEN") }
    const repository = new GitRepository({ url: inputs.repository.url, credentials })
    assert.strictEqual(buildKey({ ...inputs, repository }, key), first)
  })

  it("is another for any other input, and another platform's key", () => {
    const url = inputs.repository.url
    const keys = [
      buildKey(inputs, key),
      buildKey(inputs, Redacted.make("another")),
      ...[
        { commit: CommitSha.make("f".repeat(40)) },
        { rootDirectory: RepositoryPath.make("app") },
        { dockerfile: DockerfilePath.make("app/Dockerfile") },
        { dockerfile: DockerfilePath.make("../Dockerfile") },
        { target: "app" },
        { target: "" },
        { args: { A: "1" } },
        { args: { A: "1,B=2" } },
        { args: { "A,B": "12" } },
        { secrets: {} },
        { secrets: { npm: secretOf("other") } },
        { secrets: { npm2: secretOf("s3cret") } },
        { secrets: { npm: secretOf("s3cret\n") } },
        { secrets: { npm: Redacted.make(new Uint8Array([0xff])) } },
        { secrets: { npm: Redacted.make(new Uint8Array([0xfe])) } },
        { builderVersion: "0.35.0" },
        { repository: new GitRepository({ url: RepositoryUrl.make("https://github.com/ann/other") }) },
        { repository: new GitRepository({ url, submodules: true }) },
        { repository: new GitRepository({ url, lfs: true }) }
      ].map((change) => buildKey({ ...inputs, ...change }, key))
    ]
    assert.strictEqual(new Set(keys).size, keys.length)
  })
})
