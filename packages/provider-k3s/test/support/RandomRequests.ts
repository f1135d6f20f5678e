/** Random HTTP/1.1 requests, and what of each arrives by the rules in docs/ingress.md. Texts are bytes, as in latin1. */

export interface Sent {
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

/** mulberry32: small, and the same for the same seed. */
const randomOf = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const letters = "abcXYZ019"
const unreserved = `${letters}-._~`
/** What a path may have as it is (RFC 3986, 3.3). */
const pathCharacters = `${unreserved}!$&'()*+,;=:@`
const bytes = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => String.fromCharCode(from + index))
const opaque = bytes(0x80, 0xff)
const tokenCharacters = `${unreserved}!#$%&'*+^\`|`

const methods = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "PROPFIND",
  "get",
  "M-SEARCH"
]
const segments = [
  "",
  "",
  ".",
  "..",
  "a",
  "%2F",
  "%2f",
  "%5C",
  "%25",
  "%3F",
  "%23",
  "%3B",
  "%00",
  "%2e%2E",
  "%41",
  "%7e",
  "%C3%BC",
  "https:"
]
const names = [
  "Accept",
  "Cookie",
  "Authorization",
  "Range",
  "Content-Type",
  "Forwarded",
  "Via",
  "X_Under_Score",
  "x-forwarded-for",
  "X-Real-IP",
  "TE",
  "Keep-Alive",
  "Proxy-Authorization",
  "X-Forwarded-Host"
]

export const randomRequests = (seed: number, count: number): ReadonlyArray<Sent> => {
  const random = randomOf(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const of = (items: string | ReadonlyArray<string>): string => items[below(items.length)] ?? ""
  const often = (chance: number) => random() < chance
  const text = (length: number, characters: () => string) =>
    Array.from({ length: below(length) }, characters).join("")

  /** `wild`: characters that no URL may have as they are, and escapes that are none. */
  const segment = (wild: boolean) => {
    if (often(0.5)) return of(segments)
    return text(8, () =>
      wild && often(0.2)
        ? of(['"', "<", ">", "\\", "^", "`", "{", "|", "}", "[", "]", "#", "%", "%zz", "\u0001", ...opaque])
        : often(0.2)
          ? `%${of("0123456789abcdefABCDEF")}${of("0123456789abcdefABCDEF")}`
          : of(pathCharacters)
    )
  }
  const target = () => {
    const wild = often(0.1)
    const path = Array.from({ length: 1 + below(5) }, () => `/${segment(wild)}`).join("")
    return often(0.4)
      ? `${path}?${text(20, () => of([...pathCharacters, "/", "?", "%2F", "%zz", "#", "[", '"', ...opaque.slice(0, 3)]))}`
      : path
  }
  const header = (): readonly [string, string] => [
    often(0.4) ? of(names) : `X-${text(10, () => of(tokenCharacters))}`,
    text(30, () =>
      often(0.1)
        ? of([" ", "\t", ...opaque])
        : often(0.002)
          ? of(["\u0001", "\u007f"])
          : of(`${tokenCharacters} ,;"=<>()[]{}\\/?@:`)
    )
  ]
  return Array.from({ length: count }, () => {
    const method = often(0.9) ? of(methods) : `X${text(5, () => of(tokenCharacters))}`
    return {
      method,
      target: target(),
      headers: [
        ...Array.from({ length: below(8) }, header),
        ...(often(0.5) ? [["Accept-Encoding", "br, gzip;q=0.5"] as const] : [])
      ],
      body:
        ["HEAD", "TRACE"].includes(method) || often(0.7) ? "" : text(60, () => of([...letters, ...opaque]))
    }
  })
}

/** What goes from one connection to the next only, and what the ingress says of the client itself. */
const notPassedOn = /^(?:te|keep-alive|proxy-authorization|x-real-ip|x-forwarded-(?:for|host))$/

const escaped = (character: string) =>
  `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`
const decoded = (path: string) =>
  path.replaceAll(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))

const arrivingPath = (path: string): string =>
  /[^A-Za-z0-9\-._~!$&'()*+,;=:@/[\]%]/.test(path)
    ? // No URL: it is encoded anew.
      decoded(path).replaceAll(/[^A-Za-z0-9\-._~$&+,/:;=@]/g, escaped)
    : path.replaceAll(/%[0-9a-f]{2}/gi, (escape) =>
        /[A-Za-z0-9\-._~]/.test(decoded(escape)) ? decoded(escape) : escape.toUpperCase()
      )

/** Header values by name in lower case, in the order in which they were sent. */
export type Values = Readonly<Record<string, ReadonlyArray<string>>>

export const valuesOf = (headers: Sent["headers"]): Values => {
  const values: Record<string, Array<string>> = {}
  for (const [name, value] of headers)
    (values[name.toLowerCase()] ??= []).push(value.replaceAll(/^[ \t]+|[ \t]+$/g, ""))
  return values
}

/** What the app gets of a request; undefined when it is refused with 400. */
export const arrives = ({
  headers,
  target
}: Sent): { readonly target: string; readonly headers: Values } | undefined => {
  const mark = target.indexOf("?")
  const [path, query] = mark === -1 ? [target, ""] : [target.slice(0, mark), target.slice(mark)]
  // eslint-disable-next-line no-control-regex
  const control = /[\u0000-\u0008\u000a-\u001f\u007f]/
  if (path.includes("#") || /%(?![0-9a-f]{2})/i.test(path) || control.test(target)) return undefined
  if (headers.some(([, value]) => control.test(value))) return undefined
  return {
    target: `${arrivingPath(path)}${query.replaceAll(";", "%3B")}`,
    headers: valuesOf(headers.filter(([name]) => !notPassedOn.test(name.toLowerCase())))
  }
}
