/** Signature: whether a body is what a forge sent, byte for byte (HMAC-SHA256, RFC 2104). */
import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto"
import { type Forge, headersOf } from "./Forge.ts"

const sha256Bytes = 32
const hexadecimal = /^[0-9a-f]{64}$/

/** The signature's bytes; undefined where the header is none of this forge. */
const tagOf = (forge: Forge, header: string | undefined): Buffer | undefined => {
  const { prefix } = headersOf[forge]
  if (header === undefined || !header.startsWith(prefix)) return undefined
  const digits = header.slice(prefix.length)
  return hexadecimal.test(digits) ? Buffer.from(digits, "hex") : undefined
}

/** The time it takes does not depend on where the signature differs. Without keys nothing is signed. */
export const isSigned = (
  forge: Forge,
  header: string | undefined,
  body: Uint8Array,
  keys: ReadonlyArray<KeyObject>
): boolean => {
  const tag = tagOf(forge, header)
  if (tag === undefined || tag.length !== sha256Bytes) return false
  let isFound = false
  for (const key of keys) {
    // An empty key makes signatures that anybody can make.
    if ((key.symmetricKeySize ?? 0) === 0) continue
    isFound = timingSafeEqual(createHmac("sha256", key).update(body).digest(), tag) || isFound
  }
  return isFound
}
