/** Link: the only way from a worker to one of the region's servers, which others use too. Cut, that server is down for it. */
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from "node:net"
import { setTimeout } from "node:timers/promises"

export class Link {
  readonly #to: NetConnectOpts
  readonly #open = new Set<Socket>()
  #server: Server | undefined
  #port = 0

  private constructor(to: NetConnectOpts) {
    this.#to = to
  }
  static async to(target: NetConnectOpts): Promise<Link> {
    const link = new Link(target)
    await link.#listen()
    return link
  }
  /** `127.0.0.1:PORT`. */
  get address(): string {
    return `127.0.0.1:${this.#port}`
  }
  /** As a restart: what is under way breaks, nothing is answered for so long. */
  async restart(downMs: number): Promise<void> {
    this[Symbol.dispose]()
    await setTimeout(downMs)
    await this.#listen()
  }
  #listen(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.#to)
      for (const [from, to] of [
        [near, far],
        [far, near]
      ] as const) {
        this.#open.add(from)
        from.on("error", () => to.destroy()).on("close", () => this.#open.delete(from))
        from.pipe(to)
      }
    })
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once("error", reject)
      server.listen(this.#port, "127.0.0.1", () => {
        const address = server.address()
        if (typeof address === "object" && address !== null) this.#port = address.port
        resolve()
      })
    })
  }
  [Symbol.dispose](): void {
    this.#server?.close()
    for (const socket of this.#open) socket.destroy()
  }
}
