/** `mcpdeploy region` as a process of its own, against doubles of Cloudflare, Hetzner Cloud and Robot. */
import { spawn } from "node:child_process"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { CheckedStep } from "../src/region/Checklist.ts"
import { hostsFile, variablesFile } from "@mcpdeploy/core/region/Region"
import { RegionApplied, RegionPlan } from "@mcpdeploy/core/region/RegionInfrastructure"
import { webSourcesFile } from "@mcpdeploy/core/region/WebSources"
import * as CloudflareDouble from "@mcpdeploy/provider-cloudflare/testing/CloudflareDouble"
import * as HetznerDouble from "@mcpdeploy/provider-hetzner/testing/HetznerDouble"
import * as RobotDouble from "@mcpdeploy/provider-hetzner/testing/RobotDouble"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const cliPath = new URL("../src/main.ts", import.meta.url).pathname
const project = new URL("../../..", import.meta.url).pathname
const token = "canary-cloudflare-token"
const hetznerToken = "canary-hetzner-token"
const robotPassword = "canary-robot-password"

const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.callback<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    const { CLOUDFLARE_API_TOKEN: _, HCLOUD_TOKEN: __, ...rest } = process.env
    const child = spawn(process.execPath, [cliPath, "region", ...args], { env: { ...rest, ...env } })
    const output = { out: "", err: "" }
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output.out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.err += text))
    child.on("close", (code) => resume(Effect.succeed({ code: code ?? -1, ...output })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const decodePlan = Schema.decodeUnknownSync(Schema.fromJsonString(RegionPlan))
const decodeApplied = Schema.decodeUnknownSync(Schema.fromJsonString(RegionApplied))
const decodeStep = Schema.decodeUnknownSync(Schema.fromJsonString(CheckedStep))

/** A folder of regions with a copy of eu-central-1, without a vendor for its machines, and the double. */
const makeWorld = Effect.gen(function* () {
  const double = yield* CloudflareDouble.make({ token })
  const regions = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "mcpdeploy-regions-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const directory = join(regions, "eu-central-1")
  cpSync(join(project, "regions/eu-central-1"), directory, { recursive: true })
  const edit = (file: string, change: (text: string) => string) =>
    Effect.sync(() =>
      writeFileSync(join(directory, file), change(readFileSync(join(directory, file), "utf8")))
    )
  yield* edit(variablesFile, (text) =>
    text.replace(
      /region_providers: .*/,
      "region_providers: [cloudflare]\nregion_load_balancer: { ipv4: 203.0.113.5 }"
    )
  )
  yield* Effect.sync(() => rmSync(join(directory, webSourcesFile), { force: true }))
  // Stands for nodes that nobody reaches.
  const programs = join(regions, ".programs")
  yield* Effect.sync(() => {
    mkdirSync(programs)
    writeFileSync(join(programs, "ssh"), "#!/bin/sh\necho 'ssh: connect: No route to host' >&2\nexit 255\n")
    chmodSync(join(programs, "ssh"), 0o755)
  })
  const env = {
    CLOUDFLARE_API_TOKEN: token,
    CLOUDFLARE_BASE_URL: double.baseUrl,
    PATH: `${programs}:${process.env["PATH"] ?? ""}`
  }
  const region = (...args: ReadonlyArray<string>) => run([...args, "--regions", regions], env)
  return { double, directory, regions, edit, region, env }
})

describe("mcpdeploy region", () => {
  it.live(
    "plans, applies once, verifies; a run node that goes changes the origins alone; the token is nowhere",
    () =>
      Effect.gen(function* () {
        const { directory, double, edit, region } = yield* makeWorld
        const first = yield* region("plan", "eu-central-1")
        assert.strictEqual(first.code, 0, first.err)
        assert.match(
          first.out,
          /\+ create cloudflare record A cname\.ml\.ink\n {4}\+ type: A\n {4}\+ content: 203\.0\.113\.5/
        )
        assert.match(first.out, /create inventory file inventory\/group_vars\/all\/web_sources\.yml/)
        assert.deepStrictEqual(double.writes(), [])

        const applied = yield* region("apply", "eu-central-1", "--json")
        assert.strictEqual(applied.code, 0, applied.err)
        const { left, made } = decodeApplied(applied.out)
        assert.deepStrictEqual([made.length, left.length], [9, 0])
        assert.match(applied.err, /create record A cname\.ml\.ink/)
        assert.match(readFileSync(join(directory, webSourcesFile), "utf8"), /173\.245\.48\.0\/20/)

        double.reset()
        const verified = yield* region("verify", "eu-central-1")
        assert.strictEqual(verified.code, 0, verified.err)
        const again = yield* region("apply", "eu-central-1")
        assert.match(again.out, /^0 changes made, 0 left\n$/)
        assert.deepStrictEqual(double.writes(), [])

        const checked = yield* region("check", "eu-central-1", "--ansible", join(project, "ansible"))
        assert.match(checked.out, /✓ 6\. cname record/)
        assert.match(checked.out, /✓ 7\. Run nodes in Cloudflare's origin pool/)
        assert.match(checked.out, /✗ 8\. Firewall.*\n {5}run-1 cannot be asked.*No route to host/)

        yield* edit(hostsFile, (text) => text.replace(/ {12}run-2:\n( {14}.*\n)+/, ""))
        const drift = yield* region("verify", "eu-central-1")
        assert.strictEqual(drift.code, 1)
        assert.match(drift.err, /update cloudflare pool mcpdeploy-ml_ink-eu-central-1-run/)
        const { changes } = decodePlan((yield* region("plan", "eu-central-1", "--json")).out)
        assert.deepStrictEqual(
          changes.map(({ action, diff, resource }) => [action, resource, ...diff]),
          [["update", "pool mcpdeploy-ml_ink-eu-central-1-run", "- origin run-2: 203.0.113.42"]]
        )
        for (const { err, out } of [first, applied, verified, again, drift])
          assert.notInclude(`${out}${err}`, token)
        assert.deepStrictEqual(double.violations, [])
      }).pipe(Effect.scoped),
    240_000
  )

  it.live(
    "checks the nine steps: what is missing, what a person does, and what to do",
    () =>
      Effect.gen(function* () {
        const { double, env, region, regions } = yield* makeWorld
        const before = yield* region("check", "eu-central-1", "--json", "--ansible", join(project, "ansible"))
        assert.strictEqual(before.code, 1)
        const steps = before.out
          .trim()
          .split("\n")
          .map((line) => decodeStep(line))
        assert.deepStrictEqual(
          steps.map(({ step }) => step),
          [1, 2, 3, 4, 5, 6, 7, 8, 9]
        )
        assert.match(steps[0]?.todo ?? "", /ssh-keyscan -t ed25519 .*203\.0\.113\.10/)
        assert.strictEqual(steps[3]?.state, "person")
        assert.strictEqual(steps[4]?.state, "person")
        assert.match(steps[5]?.detail ?? "", /create cloudflare record A cname\.ml\.ink/)
        assert.strictEqual(steps[5]?.todo, "mcpdeploy region apply eu-central-1")
        assert.deepStrictEqual(double.writes(), [])

        const blind = yield* run(["check", "eu-central-1", "--regions", regions], {
          CLOUDFLARE_BASE_URL: env.CLOUDFLARE_BASE_URL,
          PATH: env.PATH
        })
        assert.match(blind.out, /✗ 6\. .*\n.*set CLOUDFLARE_API_TOKEN/)
      }).pipe(Effect.scoped),
    240_000
  )

  it.live(
    "three APIs at once: Robot joins dedicated servers, Cloudflare waits for Hetzner's load balancer; servers are bought by name",
    () =>
      Effect.gen(function* () {
        const { edit, env, regions } = yield* makeWorld
        const hetzner = yield* HetznerDouble.make({
          token: hetznerToken,
          dedicated: ["198.51.100.41"],
          addressOf: (server) => (server === "run-2" ? "203.0.113.42" : "203.0.113.10")
        })
        const robot = yield* RobotDouble.make({
          user: "robot",
          password: robotPassword,
          servers: { 2300020: "198.51.100.20", 2300030: "198.51.100.30", 2300041: "198.51.100.41" }
        })
        yield* edit(variablesFile, (text) =>
          text
            .replace("[cloudflare]", "[hetzner-robot, hetzner, cloudflare]")
            .replace(
              "region_ssh_keys: []",
              "region_ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEann ann]"
            )
            .replace(/region_load_balancer.*\n/, "")
        )
        const both = {
          ...env,
          HCLOUD_TOKEN: hetznerToken,
          HCLOUD_ENDPOINT: hetzner.baseUrl,
          HETZNER_ROBOT_USER: "robot",
          HETZNER_ROBOT_PASSWORD: robotPassword,
          HETZNER_ROBOT_ENDPOINT: robot.baseUrl
        }
        const region = (...args: ReadonlyArray<string>) => run([...args, "--regions", regions], both)
        const first = yield* region("plan", "eu-central-1")
        assert.match(first.out, /… cloudflare waits: the region's load balancer has no address yet/)
        assert.match(first.out, /only with --allow "hetzner server run-2"/)
        const joined = yield* region("apply", "eu-central-1", "--only", "hetzner-robot")
        assert.match(joined.out, /\+ create hetzner-robot vSwitch mcpdeploy-eu-central-1\n/)
        assert.match(joined.out, /5 changes made, 0 left/)
        assert.deepStrictEqual(hetzner.writes(), [])
        const stranger = yield* region("plan", "eu-central-1", "--only", "aws")
        assert.deepStrictEqual(
          [
            stranger.code,
            /has no provider aws; it has hetzner-robot, hetzner, cloudflare/.test(stranger.err)
          ],
          [2, true]
        )
        const applied = yield* region(
          "apply",
          "eu-central-1",
          "--allow",
          "hetzner server run-2",
          "--allow",
          "hetzner server ctrl-1"
        )
        assert.strictEqual(applied.code, 0, applied.err)
        assert.match(applied.out, /\+ create hetzner load balancer mcpdeploy-eu-central-1\n/)
        assert.match(applied.out, /\+ create cloudflare record A cname\.ml\.ink/)
        const number = robot.vswitches[0]?.id
        assert.include(JSON.stringify(hetzner.networks.all()), `"vswitch_id":${number}`)
        const verified = yield* region("verify", "eu-central-1")
        assert.deepStrictEqual([verified.code, verified.err], [0, ""])
        const checked = yield* region("check", "eu-central-1", "--ansible", join(project, "ansible"))
        for (const step of [4, 5, 6, 7]) assert.match(checked.out, new RegExp(`✓ ${step}\\. `))
        for (const { err, out } of [first, joined, applied, verified, checked]) {
          assert.notInclude(`${out}${err}`, hetznerToken)
          assert.notInclude(`${out}${err}`, robotPassword)
          assert.notInclude(`${out}${err}`, "canary-root")
        }
        assert.deepStrictEqual(hetzner.violations, [])
        assert.deepStrictEqual(robot.violations, [])
      }).pipe(Effect.scoped),
    240_000
  )

  it.live(
    "lays out a new region whose check says what is left to fill in; never over one that is there",
    () =>
      Effect.gen(function* () {
        const { region, regions } = yield* makeWorld
        const made = yield* region("new", "us-east-1", "--provider", "none")
        assert.strictEqual(made.code, 0, made.err)
        const checked = yield* region("check", "us-east-1", "--ansible", join(project, "ansible"))
        assert.match(
          checked.out,
          /✗ 1\. .*\n {5}inventory\/hosts\.yml: ctrl-1\.ansible_host 192\.0\.2\.10 is an example/
        )
        assert.match(checked.out, /✗ 9\. .*\n {5}README\.md says nothing under Machines/)
        assert.match(checked.out, /☐ 5\. /)
        assert.isTrue(existsSync(join(regions, "us-east-1/k8s/admission.yaml")))
        assert.strictEqual((yield* region("new", "us-east-1", "--provider", "none")).code, 2)
        const bad = yield* region("new", "Us_East", "--provider", "none")
        assert.strictEqual(bad.code, 2)
        assert.match(bad.err, /a name such as eu-central-1/)
      }).pipe(Effect.scoped),
    240_000
  )

  it.live(
    "says what to do when there is no such region, a field is wrong, a provider is unknown, or the token is refused",
    () =>
      Effect.gen(function* () {
        const { edit, env, region, regions } = yield* makeWorld
        const none = yield* region("plan", "mars")
        assert.deepStrictEqual([none.code, /there is no region mars/.test(none.err)], [2, true])
        const refused = yield* run(["plan", "eu-central-1", "--regions", regions], {
          ...env,
          CLOUDFLARE_API_TOKEN: "wrong-token"
        })
        assert.strictEqual(refused.code, 1)
        assert.match(refused.err, /Cloudflare refuses the API token/)
        assert.notInclude(refused.err, "wrong-token")
        yield* edit(variablesFile, (text) => text.replace("region_domain: ml.ink", "region_domain: ML_ink"))
        const wrong = yield* region("plan", "eu-central-1")
        assert.strictEqual(wrong.code, 2)
        assert.match(wrong.err, /main\.yml:3:\d+: region_domain: .*a DNS name/)
        yield* edit(variablesFile, (text) =>
          text.replace("ML_ink", "ml.ink").replace("[cloudflare]", "[./no-such-provider.ts]")
        )
        const unknown = yield* region("plan", "eu-central-1")
        assert.strictEqual(unknown.code, 2)
        assert.match(unknown.err, /region_providers names \.\/no-such-provider\.ts/)
      }).pipe(Effect.scoped),
    240_000
  )
})
