/** On a real registry, and on a real BuildKit whose docker.io is that registry, which holds the images. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import * as OciImage from "../src/images/OciImage.ts"
import * as RegistryPush from "../src/images/RegistryPush.ts"
import { standIns } from "../src/images/StandIns.ts"

const registry = process.env["MCPDEPLOY_TEST_REGISTRY"]
const buildkit = process.env["MCPDEPLOY_TEST_BUILDKIT"]
const buildctl = process.env["BUILDCTL"] ?? "buildctl"
const run = promisify(execFile)

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "mcpdeploy-images-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const needsRegistry =
  registry === undefined ? "SKIPPED: MCPDEPLOY_TEST_REGISTRY (host:port of a registry) is not set" : ""
describe.skipIf(needsRegistry !== "")(`Pushing to a registry ${needsRegistry}`, () => {
  const endpoint = `http://${registry}`
  const imageOf = (file: string, content: string) => {
    const digest = OciImage.sha256(new TextEncoder().encode(content))
    const [standIn] = standIns
    if (standIn === undefined) throw new Error("there are no stand-ins")
    return OciImage.ofStandIn(standIn, [{ digest, diffId: digest, size: content.length, file }])
  }

  it.live("sends a layer once, whatever repositories and tags share it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "layer")
      const content = randomUUID()
      yield* Effect.promise(() => writeFile(file, content))
      const image = imageOf(file, content)
      const first = `test-images/${randomUUID()}`
      const second = `test-images/${randomUUID()}`
      const push = yield* RegistryPush.make(endpoint)
      assert.isFalse(yield* push.has(first, "a", image))
      assert.strictEqual(
        yield* push.push(first, ["a", "b"], image),
        content.length + image.config.bytes.length
      )
      assert.strictEqual(yield* push.push(second, ["a"], image), 0)
      assert.isTrue(yield* push.has(first, "b", image))
      assert.isTrue(yield* push.has(second, "a", image))
    })
  )

  it.live("fails with the registry's word when a layer's bytes are not what its digest says", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "layer")
      yield* Effect.promise(() => writeFile(file, "damaged"))
      const push = yield* RegistryPush.make(endpoint)
      const error = yield* Effect.flip(
        push.push(`test-images/${randomUUID()}`, ["a"], imageOf(file, "genuine"))
      )
      assert.include(error.message, "DIGEST_INVALID")
    })
  )
})

/** Each a Dockerfile that people write; its last instruction proves it. */
const dockerfiles: Readonly<Record<string, string>> = {
  "node:24-alpine": `FROM node:24-alpine
RUN addgroup -S app && adduser -S app -G app && id app
WORKDIR /app
RUN chown node /app
USER node
RUN npm init -y > npm.log && npm install --no-audit --no-fund is-number@7.0.0
RUN node -e "if (!require('is-number')(process.versions.node.split('.')[0] - 24)) process.exit(1)"`,
  "node:24-slim": `FROM node:24-slim
RUN node --version && npm --version && yarn --version && corepack --version && id node`,
  "node:24": `FROM node:24
RUN node --version && g++ --version && git --version && python3 --version`,
  "python:3.13-slim": `FROM python:3.13-slim
RUN pip install --no-cache-dir six==1.17.0
RUN python -c "import six, sys; assert sys.version_info[:2] == (3, 13)"
RUN python3 -m venv /venv && /venv/bin/pip install six==1.17.0
FROM python:3.13-slim
COPY --from=0 /usr/local/lib/python3.13/site-packages /usr/local/lib/python3.13/site-packages
RUN python -c "import six"`,
  "golang:1.26-alpine": `FROM golang:1.26-alpine
RUN test "$PWD" = /go && go version | grep -q 'go1\\.26'
WORKDIR /src
RUN go mod init example.com/app && go get golang.org/x/mod@v0.30.0`,
  "golang:1.26": `FROM golang:1.26
RUN go version && gcc --version && git --version`,
  "nginx:alpine": `FROM nginx:alpine
RUN mkdir /etc/nginx/templates && echo 'server { listen \${PORT}; location / { return 200 "as configured"; } }' > /etc/nginx/templates/app.conf.template
RUN export PORT=18099 && (/docker-entrypoint.sh nginx -g 'daemon off;' &) && sleep 2 && wget -qO- http://127.0.0.1:18099/ | grep 'as configured' && kill -QUIT "$(cat /run/nginx.pid)"`,
  "debian:12-slim": `FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
RUN redis-server --version`,
  "debian:13-slim": `FROM debian:13-slim
RUN test -s /etc/ssl/certs/ca-certificates.crt && . /etc/os-release && test "$VERSION_ID" = 13`,
  busybox: `FROM busybox
RUN wget --help && test "$(id -u)" = 0`
}

const needs = [
  ...(buildkit === undefined ? ["MCPDEPLOY_TEST_BUILDKIT (address of a BuildKit)"] : []),
  ...(registry === undefined ? ["MCPDEPLOY_TEST_REGISTRY (host:port of its registry, with the images)"] : [])
]
const needsBuildkit = needs.length === 0 ? "" : `SKIPPED: ${needs.join(", ")} is not set`
describe.skipIf(needsBuildkit !== "")(`An ordinary Dockerfile ${needsBuildkit}`, () => {
  for (const [name, dockerfile] of Object.entries(dockerfiles)) {
    it.live(
      `builds on ${name}`,
      () =>
        Effect.gen(function* () {
          const folder = yield* temporaryFolder
          yield* Effect.promise(() => writeFile(join(folder, "Dockerfile"), dockerfile))
          const local = ["--local", `context=${folder}`, "--local", `dockerfile=${folder}`]
          const args = [
            "--addr",
            buildkit ?? "",
            "build",
            "--frontend",
            "dockerfile.v0",
            "--progress",
            "plain",
            ...local
          ]
          yield* Effect.tryPromise((signal) => run(buildctl, args, { signal, maxBuffer: 1 << 26 })).pipe(
            Effect.timeout("4 minutes")
          )
        }),
      300_000
    )
  }
})
