/** Health checks. Servers are asked through the bundle's network by way of its forwarded ports or unix sockets. */
import { connect } from "node:net"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export class NotHealthy extends Schema.TaggedError<NotHealthy>()("NotHealthy", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** A GET that answers with one of these statuses. */
export const http = (url: string, ...statuses: ReadonlyArray<number>) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, { signal, redirect: "manual" })
      await response.body?.cancel()
      return response.status
    },
    catch: (cause) => new NotHealthy({ detail: `${url}: ${String(cause)}` })
  }).pipe(
    Effect.filterOrFail(
      (status) => (statuses.length === 0 ? status === 200 : statuses.includes(status)),
      (status) => new NotHealthy({ detail: `${url} answers ${status}` })
    )
  )

/** Something accepts connections: a unix socket's path, or a loopback port. */
export const accepts = (
  address: { readonly path: string } | { readonly host: string; readonly port: number }
) =>
  Effect.callback<void, NotHealthy>((resume) => {
    const socket = connect(address)
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(new NotHealthy({ detail: error.message }))))
    return Effect.sync(() => socket.destroy())
  })
