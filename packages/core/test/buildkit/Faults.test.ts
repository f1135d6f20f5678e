import { assert, describe, it } from "@effect/vitest"
import type { BuildkitConfig } from "@mcpdeploy/core/buildkit/BuildkitImageBuilder"
import { ImageRef, RegistryName } from "@mcpdeploy/core/domain/Image"
import { type BuildRequest, ImageBuilder } from "@mcpdeploy/core/ImageBuilder"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as path from "node:path"
import {
  builderLayer,
  builtIn,
  daemonAddress,
  eventsOf,
  folder,
  isRunning,
  needsDaemon,
  newImage,
  registryAddress,
  request,
  unique
} from "./daemon.ts"

const buildkitd = process.env["MCPDEPLOY_TEST_BUILDKITD"]
const needsOwn =
  needsDaemon !== ""
    ? needsDaemon
    : buildkitd === undefined
      ? "SKIPPED, because MCPDEPLOY_TEST_BUILDKITD is not set"
      : ""

/** These daemons know the registry by the address at which this process reaches it. */
const image = (registry = registryAddress ?? "127.0.0.1:5000"): ImageRef =>
  new ImageRef({ ...newImage(), registry: RegistryName.make(registry) })

const freePort = Effect.callback<number>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() =>
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    )
  })
})

const answers = (port: number) =>
  Effect.callback<void, "closed">((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.once("connect", () => resume(Effect.void))
    socket.once("error", () => resume(Effect.fail("closed")))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.retry(Schedule.spaced("50 millis")), Effect.timeout("20 seconds"))

/** A daemon of our own; RUN does not work in it. */
const daemon = (more = "", otherRegistry = "127.0.0.1:1") =>
  Effect.gen(function* () {
    const port = yield* freePort
    const home = yield* folder({})
    const config = path.join(home, "buildkitd.toml")
    const registry = `[registry."${registryAddress}"]\n  http = true\n[registry."${otherRegistry}"]\n  http = true\n`
    const worker = `[worker.oci]\n  enabled = true\n  snapshotter = "native"\n  binary = "/bin/true"\n[worker.containerd]\n  enabled = false\n`
    fs.writeFileSync(
      config,
      `root = "${home}/root"\n[grpc]\n  address = ["tcp://127.0.0.1:${port}"]\n${more}${worker}${registry}`
    )
    let child: ChildProcess | undefined
    const start = Effect.sync(() => {
      child = spawn(buildkitd ?? "", ["--config", config], { stdio: "ignore" })
    }).pipe(Effect.andThen(answers(port)))
    const signal = (name: NodeJS.Signals) => Effect.sync(() => void child?.kill(name))
    yield* Effect.addFinalizer(() => signal("SIGKILL").pipe(Effect.andThen(Effect.sleep("200 millis"))))
    yield* start
    return { address: `tcp://127.0.0.1:${port}`, start, signal }
  })

/** A registry with a password, in front of the real one. */
const passwordedRegistry = (username: string, password: string) =>
  Effect.acquireRelease(
    Effect.callback<http.Server>((resume) => {
      const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`
      const server = http.createServer((incoming, outgoing) => {
        if (incoming.headers.authorization !== expected) {
          outgoing.writeHead(401, { "www-authenticate": 'Basic realm="test"' }).end()
          return
        }
        const { headers, method, url } = incoming
        const [hostname, port] = (registryAddress ?? "").split(":")
        incoming.pipe(
          http.request({ hostname, port, method, path: url, headers }, (answer) => {
            outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
            answer.pipe(outgoing)
          })
        )
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    })
  )

const config = (address: string, more: Partial<BuildkitConfig> = {}): BuildkitConfig => ({
  address,
  cancelSeconds: 2,
  heartbeat: { intervalSeconds: 0.5, timeoutSeconds: 0.5 },
  ...more
})
const build = (context: string, settings: BuildkitConfig, to = image()) =>
  eventsOf(request(context, { image: to })).pipe(Effect.provide(builderLayer(settings)))

/** A build during which something happens: as soon as its first step is seen (and again, which changes nothing). */
const whenBegun = (asked: BuildRequest, settings: BuildkitConfig, happens: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const builder = yield* ImageBuilder
    yield* builder.build(asked).pipe(
      Stream.tap((event) => (event._tag === "BuildVertex" ? happens : Effect.void)),
      Stream.runDrain
    )
  }).pipe(Effect.provide(builderLayer(settings)))

const openssl = (folderPath: string, ...args: ReadonlyArray<string>) =>
  execFileSync("openssl", args, { cwd: folderPath, stdio: "pipe" })

/** A CA, a server certificate for 127.0.0.1 and a client certificate. */
const certificates = Effect.gen(function* () {
  const home = yield* folder({ san: "subjectAltName=IP:127.0.0.1,DNS:buildkit.test\n" })
  openssl(
    home,
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-subj",
    "/CN=test-ca",
    "-days",
    "2"
  )
  for (const name of ["server", "client"]) {
    openssl(
      home,
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`
    )
    openssl(
      home,
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-out",
      `${name}.pem`,
      "-days",
      "2",
      "-extfile",
      "san"
    )
  }
  const read = (name: string) => fs.readFileSync(path.join(home, name), "utf8")
  return { home, ca: read("ca.pem"), certificate: read("client.pem"), key: Redacted.make(read("client.key")) }
})

describe.skipIf(needsOwn !== "")(`ImageBuilder and a daemon in trouble ${needsOwn}`, () => {
  it.live("speaks mutual TLS, and is refused without its certificate or with another's CA", () =>
    Effect.gen(function* () {
      const { ca, certificate, home, key } = yield* certificates
      const { address } = yield* daemon(
        `[grpc.tls]\n  cert = "${home}/server.pem"\n  key = "${home}/server.key"\n  ca = "${home}/ca.pem"\n`
      )
      const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n", file: 3_000_000 })
      builtIn(yield* build(context, config(address, { tls: { ca, certificate, key } })))
      builtIn(
        yield* build(context, config(address, { tls: { ca, certificate, key, serverName: "buildkit.test" } }))
      )
      const other = yield* certificates
      for (const tls of [
        { ca },
        { ca: other.ca, certificate, key },
        { ca, certificate, key, serverName: "other.test" }
      ]) {
        const error = yield* Effect.flip(build(context, config(address, { tls })))
        assert(
          error._tag === "ImageBuilderError" && error.reason._tag === "BuilderUnreachable",
          error.message
        )
        assert.notInclude(error.message, "PRIVATE KEY")
      }
    }).pipe(Effect.scoped)
  )

  it.live("says that a killed daemon went away, and builds when it is back", () =>
    Effect.gen(function* () {
      const { address, signal, start } = yield* daemon()
      const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n", large: 150_000_000 })
      const asked = request(context, { image: image() })
      const error = yield* Effect.flip(whenBegun(asked, config(address), signal("SIGKILL")))
      assert(error._tag === "ImageBuilderError" && error.reason._tag === "BuilderUnreachable", error.message)
      assert.isTrue(error.retryable)
      yield* start
      // Now and then it trips over a folder that it had just begun, and says so: that is worth one more attempt.
      const again = eventsOf(asked).pipe(
        Effect.provide(builderLayer(config(address))),
        Effect.retry({ times: 1, while: (error) => error._tag === "ImageBuilderError" && error.retryable })
      )
      builtIn(yield* again)
    }).pipe(Effect.scoped)
  )

  it.live("notices a daemon that hangs", () =>
    Effect.gen(function* () {
      const { address, signal } = yield* daemon()
      const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n", large: 150_000_000 })
      const asked = request(context, { image: image() })
      const begun = Date.now()
      const error = yield* Effect.flip(whenBegun(asked, config(address), signal("SIGSTOP")))
      assert(error._tag === "ImageBuilderError" && error.reason._tag === "BuilderUnreachable", error.message)
      assert.isBelow(Date.now() - begun, 20_000)
    }).pipe(Effect.scoped)
  )

  it.live("says when it is not seen that a build which took too long has ended", () =>
    Effect.gen(function* () {
      const { address, signal } = yield* daemon()
      const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n", large: 150_000_000 })
      const asked = request(context, { image: image(), timeoutSeconds: 5 })
      const settings = config(address, { heartbeat: { intervalSeconds: 60, timeoutSeconds: 60 } })
      const error = yield* Effect.flip(whenBegun(asked, settings, signal("SIGSTOP")))
      assert(error._tag === "ImageBuilderError" && error.reason._tag === "CancelNotConfirmed", error.message)
      assert.isTrue(error.retryable)
    }).pipe(Effect.scoped)
  )

  it.live("logs in at a registry, and says when it is refused", () =>
    Effect.gen(function* () {
      const port = yield* passwordedRegistry("ann", "s3cret")
      const host = `127.0.0.1:${port}`
      const { address } = yield* daemon("", host)
      const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n" })
      const asked: Array<string> = []
      const settings = (password: string) =>
        config(address, {
          registryAuth: (name) =>
            Effect.sync(() => {
              asked.push(name)
              return name === host ? { username: "ann", password: Redacted.make(password) } : undefined
            })
        })
      builtIn(yield* build(context, settings("s3cret"), image(host)))
      assert.isTrue(asked.length > 0 && asked.every((name) => name === host))
      const error = yield* Effect.flip(build(context, settings("wr0ng"), image(host)))
      assert(error._tag === "ImageBuilderError" && error.reason._tag === "ImagePushFailed", error.message)
      assert.isFalse(error.retryable, error.message)
      assert.notInclude(error.message, "wr0ng")
    }).pipe(Effect.scoped)
  )

  it.live("tells a registry that does not answer from a build that fails", () =>
    Effect.gen(function* () {
      const { address } = yield* daemon()
      const context = yield* folder({ Dockerfile: "FROM scratch\nCOPY . /\n" })
      const error = yield* Effect.flip(build(context, config(address), image("127.0.0.1:1")))
      assert(error._tag === "ImageBuilderError" && error.reason._tag === "ImagePushFailed", error.message)
      assert.isTrue(error.retryable)
    }).pipe(Effect.scoped)
  )
})

describe.skipIf(needsDaemon !== "")(`ImageBuilder and its own end ${needsDaemon}`, () => {
  it.live("kill -9 in mid-build leaves no step running, and the same call then builds", () =>
    Effect.gen(function* () {
      const marker = `33.${Math.floor(Math.random() * 1e6)}`
      const context = yield* folder({
        Dockerfile: `FROM busybox\nCOPY wait /wait\nRUN test ! -s /wait || sleep ${marker}\n`,
        wait: "yes"
      })
      const script = path.join(import.meta.dirname, "buildOnce.ts")
      const child = spawn(process.execPath, [script, context], { stdio: "inherit" })
      const running = Effect.sync(() => isRunning(`sleep\0${marker}`))
      yield* running.pipe(
        Effect.repeat({ until: (seen) => seen, schedule: Schedule.spaced("50 millis") }),
        Effect.timeout("30 seconds")
      )
      child.kill("SIGKILL")
      yield* running.pipe(
        Effect.repeat({ until: (seen) => !seen, schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("10 seconds")
      )
      fs.writeFileSync(path.join(context, "wait"), "")
      builtIn(
        yield* eventsOf(request(context)).pipe(Effect.provide(builderLayer(config(daemonAddress ?? ""))))
      )
    }).pipe(Effect.scoped)
  )

  it.live("leaving the stream early cancels the build", () =>
    Effect.gen(function* () {
      const marker = `34.${Math.floor(Math.random() * 1e6)}`
      const context = yield* folder({
        Dockerfile: `FROM busybox\nRUN echo begun ${unique()}; sleep ${marker}\n`
      })
      const builder = yield* ImageBuilder
      yield* builder.build(request(context)).pipe(
        Stream.takeUntil((event) => event._tag === "BuildLog"),
        Stream.runDrain
      )
      assert.isFalse(isRunning(`sleep\0${marker}`))
    }).pipe(Effect.scoped, Effect.provide(builderLayer(config(daemonAddress ?? ""))))
  )

  it.live("an address where nothing listens, or that is none, is said to be so", () =>
    Effect.gen(function* () {
      const context = yield* folder({ Dockerfile: "FROM scratch\n" })
      for (const address of ["unix:///nowhere/buildkitd.sock", "tcp://127.0.0.1:1"]) {
        const error = yield* Effect.flip(build(context, config(address)))
        assert(error._tag === "ImageBuilderError" && error.reason._tag === "BuilderUnreachable")
      }
      for (const address of ["http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://x:0", "unix://relative", ""]) {
        assert.strictEqual(
          (yield* Effect.flip(build(context, config(address))))._tag,
          "BuilderAddressInvalid"
        )
      }
      const error = yield* Effect.flip(
        build(context, config("tcp://127.0.0.1:1", { tls: { ca: "no PEM", certificate: "no PEM" } }))
      )
      assert.strictEqual(error._tag, "BuilderAddressInvalid")
    }).pipe(Effect.scoped)
  )
})
