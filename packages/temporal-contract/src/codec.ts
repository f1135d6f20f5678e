/**
 * Encrypts everything that Temporal stores of a message: AES-256-GCM, one key encrypts, any of the known ones decrypts.
 * What Temporal needs in the clear is not encrypted: workflow ids, types, queues and search attributes.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto"
import { fileURLToPath } from "node:url"
import type { DataConverter, Payload, PayloadCodec } from "@temporalio/common"

/** 32 bytes, and the name under which messages refer to them. The name is stored in the clear. */
export interface PayloadKey {
  readonly id: string
  readonly key: Uint8Array
}

/**
 * Reads `id:base64,id:base64`. The first key encrypts, the others only decrypt: to rotate, put the new key behind the
 * old one everywhere, then in front, and take the old one away when no history needs it any more (the namespace's
 * retention). A key is good for 2^32 messages (NIST SP 800-38D, 8.3).
 *
 * Throws an Error that says what is wrong, without the text.
 */
export const parsePayloadKeys = (text: string): readonly [PayloadKey, ...ReadonlyArray<PayloadKey>] => {
  const [first, ...others] = text.split(",").map((part, index): PayloadKey => {
    const [, id, base64] = /^\s*([A-Za-z0-9._-]{1,64}):([A-Za-z0-9+/]{43}=)\s*$/.exec(part) ?? []
    if (id === undefined || base64 === undefined) {
      throw new Error(
        `payload key ${index + 1} is not id:base64 of 32 bytes: make one with \`openssl rand -base64 32\``
      )
    }
    return { id, key: Buffer.from(base64, "base64") }
  })
  if (first === undefined) throw new Error("there is no payload key")
  const ids = [first, ...others].map(({ id }) => id)
  if (new Set(ids).size < ids.length) throw new Error("two payload keys have the same id")
  return [first, ...others]
}

const encoding = "binary/encrypted"
const cipher = "aes-256-gcm"
const ivLength = 12
const tagLength = 16

const utf8 = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString("utf8")

/** Binds a message to its key's name, so that the name cannot be exchanged. */
const associatedData = (keyId: string): Buffer => Buffer.from(`mcpdeploy/payload/1/${keyId}`)

/** The whole payload as bytes: length of the metadata (4 bytes), the metadata as JSON, the data. */
const pack = ({ data, metadata }: Payload): Buffer => {
  const head = Buffer.from(
    JSON.stringify(
      Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString("base64")])
    )
  )
  const length = Buffer.alloc(4)
  length.writeUInt32BE(head.length)
  // In the result of a workflow that returns nothing the SDK has an array in place of the bytes.
  return Buffer.concat([length, head, Buffer.from(data ?? [])])
}

const unpack = (bytes: Buffer): Payload => {
  const end = 4 + bytes.readUInt32BE(0)
  const entries: unknown = JSON.parse(bytes.toString("utf8", 4, end))
  const metadata: Record<string, Uint8Array> = {}
  for (const entry of Array.isArray(entries) ? entries : []) {
    if (!Array.isArray(entry)) continue
    const [name, value]: ReadonlyArray<unknown> = entry
    if (typeof name === "string" && typeof value === "string") metadata[name] = Buffer.from(value, "base64")
  }
  return { metadata, data: bytes.subarray(end) }
}

const encrypt = (payload: Payload, { id, key }: PayloadKey): Payload => {
  const iv = randomBytes(ivLength)
  const gcm = createCipheriv(cipher, key, iv, { authTagLength: tagLength })
  gcm.setAAD(associatedData(id))
  const text = Buffer.concat([gcm.update(pack(payload)), gcm.final()])
  return {
    metadata: { encoding: Buffer.from(encoding), "encryption-key-id": Buffer.from(id) },
    data: Buffer.concat([iv, gcm.getAuthTag(), text])
  }
}

const decrypt = (payload: Payload, keys: ReadonlyArray<PayloadKey>): Payload => {
  const id = utf8(payload.metadata?.["encryption-key-id"])
  const found = keys.find((key) => key.id === id)
  if (found === undefined) {
    throw new Error(`a message is encrypted with the payload key "${id}", which is not among the known ones`)
  }
  const data = Buffer.from(payload.data ?? [])
  const gcm = createDecipheriv(cipher, found.key, data.subarray(0, ivLength), { authTagLength: tagLength })
  gcm.setAAD(associatedData(id))
  gcm.setAuthTag(data.subarray(ivLength, ivLength + tagLength))
  return unpack(Buffer.concat([gcm.update(data.subarray(ivLength + tagLength)), gcm.final()]))
}

/** Messages that are not encrypted (from before encryption was switched on) are read as they are. */
export const encryptionCodec = (keys: readonly [PayloadKey, ...ReadonlyArray<PayloadKey>]): PayloadCodec => ({
  encode: async (payloads) => payloads.map((payload) => encrypt(payload, keys[0])),
  decode: async (payloads) =>
    payloads.map((payload) =>
      utf8(payload.metadata?.["encoding"]) === encoding ? decrypt(payload, keys) : payload
    )
})

/**
 * For clients and workers alike: with keys everything is encrypted, also the messages and stacks of failures; without,
 * nothing is (a dev server).
 */
export const dataConverter = (keys?: readonly [PayloadKey, ...ReadonlyArray<PayloadKey>]): DataConverter =>
  keys === undefined
    ? {}
    : {
        failureConverterPath: fileURLToPath(
          import.meta.resolve("@mcpdeploy/temporal-contract/failureConverter")
        ),
        payloadCodecs: [encryptionCodec(keys)]
      }
