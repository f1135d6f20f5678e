import { randomBytes } from "node:crypto"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { OperationFailed } from "@mcpdeploy/temporal-contract/client"
import { encryptionCodec, parsePayloadKeys, type PayloadKey } from "@mcpdeploy/temporal-contract/codec"
import { contractVersion, queues, workflowIds, workflows } from "@mcpdeploy/temporal-contract/contract"
import { DevServer, missingProgram, temporalProgram } from "@mcpdeploy/temporal-adapter/testing/DevServer"
import { stubActivities, stubRequest } from "@mcpdeploy/temporal-adapter/testing/StubActivities"
import { testClient, testWorker } from "@mcpdeploy/temporal-adapter/testing/TestWorker"
import { Context } from "@temporalio/activity"
import { type Payload } from "@temporalio/common"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const keyOf = (id: string): PayloadKey => ({ id, key: randomBytes(32) })
const old = keyOf("2026-01")
const current = keyOf("2026-07")
const payload: Payload = {
  metadata: { encoding: Buffer.from("json/plain"), other: Buffer.from([0, 255]) },
  data: Buffer.from('"hello"')
}
const roundTrip = async (
  encoder: readonly [PayloadKey, ...ReadonlyArray<PayloadKey>],
  decoder: readonly [PayloadKey, ...ReadonlyArray<PayloadKey>],
  change: (encoded: Payload) => Payload = (encoded) => encoded
) => {
  const encoded = await encryptionCodec(encoder).encode([payload])
  return (await encryptionCodec(decoder).decode(encoded.map(change)))[0]
}
const flipped = (bytes: Uint8Array | null | undefined, at: number) => {
  const copy = Buffer.from(bytes ?? [])
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

describe("the payload codec", () => {
  it("gives back the whole payload, and writes it differently each time", async () => {
    const decoded = await roundTrip([current], [current])
    assert.deepStrictEqual(Buffer.from(decoded?.data ?? []), payload.data)
    assert.deepStrictEqual(
      Object.keys(decoded?.metadata ?? {}).map((name) => [
        name,
        Buffer.from(decoded?.metadata?.[name] ?? []).toString("hex")
      ]),
      Object.entries(payload.metadata ?? {}).map(([name, value]) => [
        name,
        Buffer.from(value).toString("hex")
      ])
    )
    const [first, second] = await encryptionCodec([current]).encode([payload, payload])
    assert.notDeepEqual(first?.data, second?.data)
  })

  it("reads what an older key wrote, and says which key is missing", async () => {
    assert.isDefined(await roundTrip([old], [current, old]))
    const error: unknown = await roundTrip([old], [current]).catch((cause: unknown) => cause)
    assert.match(String(error), /payload key "2026-01"/)
  })

  it("refuses a message that was changed anywhere, or given another key's name", async () => {
    const refused = async (change: (encoded: Payload) => Payload, keys = [current]) => {
      const [first = current, ...others] = keys
      const error: unknown = await roundTrip([current], [first, ...others], change).catch(
        (cause: unknown) => cause
      )
      assert.instanceOf(error, Error)
    }
    for (const at of [0, 12, 28, 40]) {
      await refused((encoded) => ({ ...encoded, data: flipped(encoded.data, at) }))
    }
    await refused((encoded) => ({ ...encoded, data: (encoded.data ?? Buffer.alloc(0)).subarray(0, 20) }))
    const alias = { ...current, id: "alias" }
    await refused(
      (encoded) => ({
        ...encoded,
        metadata: { ...encoded.metadata, "encryption-key-id": Buffer.from("alias") }
      }),
      [current, alias]
    )
  })

  it("reads keys from one line of configuration, and refuses others without showing them", () => {
    const text = randomBytes(32).toString("base64")
    const keys = parsePayloadKeys(`b:${text}, a:${randomBytes(32).toString("base64")}`)
    assert.deepStrictEqual(
      keys.map(({ id, key }) => [id, key.length]),
      [
        ["b", 32],
        ["a", 32]
      ]
    )
    for (const bad of ["", text, "a:short", `a:${text},a:${text}`, `a:${text},`]) {
      const error = Effect.runSync(
        Effect.flip(Effect.try({ try: () => parsePayloadKeys(bad), catch: String }))
      )
      assert.match(error, /payload key/)
      assert.notInclude(error, text)
    }
  })
})

const devServer = DevServer.layer().pipe(Layer.provide(NodeServices.layer))
const canary = `canary-${randomBytes(12).toString("hex")}`

/** Every way in which bytes could still show the canary: as text, base64 (three offsets), hex. */
const shows = (text: string): boolean =>
  [
    canary,
    Buffer.from(canary).toString("hex"),
    ...[0, 1, 2].map((offset) => Buffer.from(canary.slice(offset)).toString("base64").slice(0, 24))
  ].some((form) => text.includes(form))

describe.skipIf(temporalProgram() === undefined)(
  `encryption (${temporalProgram() ?? missingProgram})`,
  () => {
    layer(devServer, { excludeTestServices: true })("with a dev server", (it) => {
      it.effect(
        "a secret put in everywhere is in no history, memo, failure, heartbeat or query of the server",
        () =>
          Effect.gen(function* () {
            const keys = [current, old] as const
            const stub = stubActivities()
            const { client, deploys } = yield* testWorker({
              keys,
              activities: stubActivities({
                clone: async (input) => {
                  Context.current().heartbeat({ step: "clone", message: canary })
                  if (input.request.service === "fails") throw new Error(canary)
                  return stub.clone(input)
                }
              })
            })
            const requestFor = (service: string) => {
              const request = stubRequest({ owner: { user: "u", project: "p" }, service }, 1)
              return { ...request, run: { ...request.run, env: { PASSWORD: canary } } }
            }
            const target = { owner: { user: "u", project: "p" }, service: "web" }
            yield* Effect.promise(() =>
              deploys.submit(target, {
                deliveryId: canary,
                generation: 1,
                origin: "api",
                receivedAt: canary,
                action: { _tag: "Deploy", request: requestFor("web") }
              })
            )
            yield* Effect.promise(async () => {
              for await (const _ of deploys.follow(target, { generation: 1 }, { everyMs: 50 })) {
                // Until its verdict.
              }
            })
            const record = yield* Effect.promise(() => deploys.verdict(target, { deliveryId: canary }))
            assert.strictEqual(record?.verdict._tag, "Deployed")
            // A memo, a failure whose message is the secret, and an operation that fails with it.
            const failing = yield* Effect.promise(() =>
              client.workflow.start(workflows.rollback, {
                workflowId: workflowIds.rollback(target, 5),
                taskQueue: queues.k8sNative,
                args: [{ version: contractVersion + 1, target, commit: canary }],
                memo: { canary }
              })
            )
            yield* Effect.promise(() => failing.result().catch(() => undefined))
            const deploy = yield* Effect.promise(() => deploys.startDeploy(requestFor("fails")))
            yield* Effect.sleep("1500 millis")
            const seenByServer: Array<string> = []
            const { workflowService } = client
            const listed = yield* Effect.promise(() =>
              workflowService.listWorkflowExecutions({ namespace: "default", query: "" })
            )
            for (const { execution } of listed.executions) {
              const history = yield* Effect.promise(() =>
                workflowService.getWorkflowExecutionHistory({
                  namespace: "default",
                  ...(execution === undefined || execution === null ? {} : { execution })
                })
              )
              const described = yield* Effect.promise(() =>
                workflowService.describeWorkflowExecution({
                  namespace: "default",
                  ...(execution === undefined || execution === null ? {} : { execution })
                })
              )
              seenByServer.push(JSON.stringify(history), JSON.stringify(described))
            }
            seenByServer.push(JSON.stringify(listed))
            assert.isAtLeast(listed.executions.length, 4)
            assert.isFalse(seenByServer.some(shows), "the canary is stored in the clear")
            assert.isTrue(
              seenByServer.some((text) => text.includes(Buffer.from("binary/encrypted").toString("base64")))
            )
            yield* Effect.promise(deploy.cancel)
            const error: unknown = yield* Effect.promise(() =>
              deploy.outcome().catch((cause: unknown) => cause)
            )
            assert.instanceOf(error, OperationFailed)
          })
      )

      it.effect("the same is seen to be stored in the clear without keys", () =>
        Effect.gen(function* () {
          yield* testWorker({ activities: stubActivities() })
          const { client, deploys } = yield* testClient()
          const target = { owner: { user: "u", project: "p" }, service: "plain" }
          const request = stubRequest(target, 1)
          const deploy = yield* Effect.promise(() =>
            deploys.startDeploy({ ...request, run: { ...request.run, env: { PASSWORD: canary } } })
          )
          yield* Effect.promise(deploy.outcome)
          const history = yield* Effect.promise(() =>
            client.workflow.getHandle(deploy.workflowId).fetchHistory()
          )
          assert.isTrue(shows(JSON.stringify(history)))
        })
      )
    })
  }
)
