/** Names: valid for Kubernetes and OCI by grammars written here anew, and never shared by two owners. */
import { ImageRef, internalRegistry } from "@mcpdeploy/core/domain/Image"
import {
  checkOwner,
  labelsOf,
  Owner,
  ProjectName,
  ServiceName,
  ServiceTarget,
  UserId
} from "@mcpdeploy/core/domain/Identity"
import { PlatformDomain, platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { CommitSha } from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const isAlphanumeric = (code: number) => (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x7a)

/** RFC 1123, 2.1, as k8s.io/apimachinery's IsDNS1123Label reads it. */
const isDns1123Label = (text: string): boolean => {
  if (text.length < 1 || text.length > 63) return false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    const isInner = index > 0 && index < text.length - 1
    if (!isAlphanumeric(code) && !(isInner && code === 0x2d)) return false
  }
  return true
}
/** RFC 1035, 2.3.1: begins with a letter. What Kubernetes asks of a Service. */
const isDns1035Label = (text: string): boolean => isDns1123Label(text) && text.charCodeAt(0) >= 0x61

/** `path-component` of the OCI distribution spec: alphanumerics, separated by ".", "_", "__" or any number of "-". */
const isPathComponent = (text: string): boolean => {
  const parts = text.split(/\.|__|_|-+/)
  return parts.every(
    (part) => part.length > 0 && [...part].every((char) => isAlphanumeric(char.charCodeAt(0)))
  )
}
/** A label's value in Kubernetes: empty, or 63 characters of alphanumerics, "-", "_", ".". */
const isLabelValue = (text: string): boolean =>
  text.length <= 63 && (text === "" || /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/.test(text))

/** xorshift32: fast, and the same sequence for the same seed. */
const makeRandom = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** Short words over few letters meet often; hyphens, capitals, long and odd words test the edges. */
const makeWord = (random: (below: number) => number): string => {
  const alphabet = random(20) === 0 ? "aA0-_.é " : "ab0-"
  const length = random(50) === 0 ? random(70) : 1 + random(5)
  let word = ""
  for (let index = 0; index < length; index++) word += alphabet.charAt(random(alphabet.length))
  return word
}

const count = 1_000_000

describe("names", () => {
  it(`of ${count} random (user, project, service) are valid for Kubernetes and OCI, and no two owners share a namespace`, () => {
    const random = makeRandom(20260102)
    const isUser = Schema.is(UserId)
    const isProject = Schema.is(ProjectName)
    const isService = Schema.is(ServiceName)
    const commit = CommitSha.make("0123456789abcdef0123456789abcdef01234567")
    /** The cluster: whose labels each namespace carries. The first owner to come gets it. */
    const cluster = new Map<
      string,
      { readonly owner: string; readonly labels: Readonly<Record<string, string>> }
    >()
    const repositories = new Map<string, string>()
    let accepted = 0
    let refusedByOwner = 0
    let rejected = 0
    for (let index = 0; index < count; index++) {
      const [user, project, service] = [makeWord(random), makeWord(random), makeWord(random)]
      if (!isUser(user) || !isProject(project) || !isService(service)) {
        rejected++
        // Whatever a namespace and a Service could be called must not be rejected without a reason.
        assert.isFalse(isDns1123Label(user) && isDns1123Label(project) && isDns1035Label(service))
        continue
      }
      if (`dp-${user}-${project}`.length > 63) {
        rejected++
        continue
      }
      const owner = new Owner({ user, project })
      const image = new ImageRef({ registry: internalRegistry, namespace: owner.namespace, service, commit })
      if (
        !isDns1123Label(owner.namespace) ||
        !isDns1035Label(service) ||
        !image.repository.split("/").every(isPathComponent) ||
        image.repository.length > 255 ||
        !Object.values(labelsOf(owner)).every(isLabelValue)
      )
        assert.fail(`${user} ${project} ${service} was accepted`)
      const key = `${user}/${project}`
      const holder = cluster.get(owner.namespace)
      if (holder === undefined) cluster.set(owner.namespace, { owner: key, labels: labelsOf(owner) })
      else {
        const mayWrite = Exit.isSuccess(Effect.runSyncExit(checkOwner(owner, holder.labels)))
        if (mayWrite !== (holder.owner === key))
          assert.fail(`${key} and ${holder.owner} share ${owner.namespace}`)
        if (!mayWrite) {
          refusedByOwner++
          continue
        }
      }
      const before = repositories.get(image.repository)
      if (before !== undefined && before !== key)
        assert.fail(`${key} and ${before} share ${image.repository}`)
      repositories.set(image.repository, key)
      accepted++
    }
    assert.isAbove(accepted, 100_000)
    assert.isAbove(refusedByOwner, 10_000, "the generator provokes collisions")
    assert.isAbove(rejected, 100_000)
  })

  it("a-b + c and a + b-c make one namespace, and the second is told to choose another name", () => {
    const first = new Owner({ user: UserId.make("a-b"), project: ProjectName.make("c") })
    const second = new Owner({ user: UserId.make("a"), project: ProjectName.make("b-c") })
    assert.strictEqual(String(first.namespace), String(second.namespace))
    const refused = Effect.runSync(Effect.flip(checkOwner(second, labelsOf(first))))
    assert.strictEqual(refused._tag, "NamespaceOwnedByOther")
    assert.include(refused.message, "choose another project name")
    assert.isTrue(
      Exit.isFailure(Effect.runSyncExit(checkOwner(first, {}))),
      "a namespace without labels is no one's to take"
    )
  })

  it("that make a namespace of more than 63 characters are refused with its length", () => {
    const decoded = Schema.decodeResult(Owner)({ user: "u".repeat(30), project: "p".repeat(30) })
    assert.isTrue(Result.isFailure(decoded))
    if (Result.isFailure(decoded)) assert.include(decoded.failure.message, "64 characters, 63 are allowed")
    assert.isTrue(
      Result.isSuccess(Schema.decodeResult(Owner)({ user: "u".repeat(30), project: "p".repeat(29) }))
    )
  })
})

describe("platform hosts", () => {
  const domain = PlatformDomain.make("ml.ink")
  const targets = Schema.Struct({ user: UserId, project: ProjectName, service: ServiceName })

  it("are one DNS label under the domain, the same each time, and never the same for two targets", () => {
    const random = makeRandom(42)
    const hosts = new Map<string, string>()
    for (let index = 0; index < 200_000; index++) {
      const word = () => {
        const length = 1 + random(random(10) === 0 ? 25 : 4)
        return Array.from({ length }, () => "ab".charAt(random(2))).join(random(9) === 0 ? "-" : "")
      }
      const service = random(20) === 0 ? "s".repeat(40) + word().slice(0, 20) : word()
      const decoded = Schema.decodeResult(targets)({ user: word(), project: word(), service })
      if (Result.isFailure(decoded)) continue
      const { user, project } = decoded.success
      if (`dp-${user}-${project}`.length > 63) continue
      const target = new ServiceTarget({
        owner: new Owner({ user, project }),
        service: decoded.success.service
      })
      const host = platformHost(target, domain)
      assert.strictEqual(platformHost(target, domain), host)
      const label = host.slice(0, -".ml.ink".length)
      if (!host.endsWith(".ml.ink") || !isDns1123Label(label)) assert.fail(host)
      const before = hosts.get(host)
      if (before !== undefined && before !== target.key)
        assert.fail(`${before} and ${target.key} share ${host}`)
      hosts.set(host, target.key)
    }
    assert.isAbove(hosts.size, 50_000)
  })

  it("keep the longest service name within a label", () => {
    const owner = new Owner({ user: UserId.make("ann"), project: ProjectName.make("shop") })
    const service = ServiceName.make(`${"a".repeat(51)}-${"b".repeat(11)}`)
    const host = platformHost(new ServiceTarget({ owner, service }), domain)
    assert.match(host, /^a{46}-[a-z2-7]{16}\.ml\.ink$/)
    assert.strictEqual(
      platformHost(new ServiceTarget({ owner, service: ServiceName.make("web") }), domain),
      "web-73n2bp2mpfddcrti.ml.ink",
      "RFC 4648 base32 of sha256(ann/shop/web)"
    )
  })
})
