/** Forge: where webhooks come from, and the headers in which each forge says what a request cannot say itself. */
import * as Schema from "effect/Schema"

/** Who sends webhooks. */
export const Forge = Schema.Literals(["github", "gitea"])
export type Forge = typeof Forge.Type

interface ForgeHeaders {
  readonly event: string
  readonly delivery: string
  readonly signature: string
  /** What stands before the hexadecimal digits of the signature. */
  readonly prefix: string
}

/**
 * Gitea sends every header under GitHub's names as well, so the forge is chosen by the route, and only its own headers
 * count. https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries,
 * https://docs.gitea.com/usage/webhooks
 */
export const headersOf: Readonly<Record<Forge, ForgeHeaders>> = {
  github: {
    event: "x-github-event",
    delivery: "x-github-delivery",
    signature: "x-hub-signature-256",
    prefix: "sha256="
  },
  gitea: {
    event: "x-gitea-event",
    delivery: "x-gitea-delivery",
    signature: "x-gitea-signature",
    prefix: ""
  }
}

/** A webhook as it came: nothing of it is trusted yet. */
export interface Delivery {
  readonly forge: Forge
  readonly event: string | undefined
  readonly id: string | undefined
  readonly signature: string | undefined
  readonly body: Buffer
}
