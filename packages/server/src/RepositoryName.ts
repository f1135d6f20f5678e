/**
 * RepositoryName: which repositories a body may be about, before anything of it is trusted. The name chooses the secret, so
 * it is needed before the signature can be checked; parsing a large body of a stranger would let him choose how long this
 * process is busy.
 */

/** `owner/repository`, in lower case. */
const pattern = /^[a-z0-9_.-]{1,100}\/[a-z0-9_.-]{1,100}$/

export const normalName = (name: string): string => name.toLowerCase()

export const isRepositoryName = (name: string): boolean => pattern.test(normalName(name))

const key = Buffer.from('"full_name"')
/** A payload holds one of the repository, and of a fork one of its parent; other objects with that key have no "/" in it. */
const maxNames = 4
const maxKeys = 64
const maxLength = 256

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** The text after `"full_name" :`, where it is a JSON string without escapes. */
const valueAt = (body: Buffer, from: number): string | undefined => {
  let at = from
  while (isSpace(body[at])) at++
  if (body[at] !== 0x3a) return undefined
  at++
  while (isSpace(body[at])) at++
  if (body[at] !== 0x22) return undefined
  const end = body.indexOf(0x22, at + 1)
  return end === -1 || end - at > maxLength ? undefined : body.toString("latin1", at + 1, end)
}

/**
 * The values of all keys `full_name` that look like a repository's, each once, as they are asked for. A `"` inside of a JSON
 * string is escaped, so a commit message cannot pretend to hold such a key. Which of them is meant is known when the
 * verified body is parsed.
 */
export function* namesIn(body: Buffer): Generator<string> {
  const names = new Set<string>()
  let at = body.indexOf(key)
  for (let count = 0; at !== -1 && count < maxKeys && names.size < maxNames; count++) {
    const value = valueAt(body, at + key.length)
    const name = value === undefined ? "" : normalName(value)
    if (isRepositoryName(name) && !names.has(name)) {
      names.add(name)
      yield name
    }
    at = body.indexOf(key, at + key.length)
  }
}
