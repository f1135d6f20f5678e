/**
 * Whose an object is. A record says it in its comment, the other kinds in their description: `mcpdeploy` for what all regions
 * share, `mcpdeploy {region}` for one region's own. What a person added after a semicolon stays. Comments have at most 100
 * characters on Cloudflare's free plan.
 */

const longest = 100

/** `undefined`: shared by all regions. */
export const marker = (region: string | undefined): string =>
  region === undefined ? "mcpdeploy" : `mcpdeploy ${region}`

const head = (note: string): string => note.split(";")[0]?.trim() ?? ""

export const isOwned = (note: string | null | undefined, owner: string): boolean => head(note ?? "") === owner

/** The region whose it is; `undefined` where it is no region's. */
export const regionOf = (note: string | null | undefined): string | undefined =>
  /^mcpdeploy (\S+)$/.exec(head(note ?? ""))?.[1]

/** The note of an object that is taken over: the marker, and what was there where it fits. */
export const adopted = (note: string | null | undefined, owner: string): string => {
  const whole = `${owner}; ${note ?? ""}`
  return (note ?? "") === "" || whole.length > longest ? owner : whole
}
