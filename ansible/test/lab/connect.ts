/**
 * Opens TCP connections, many at a time, each for one answer: `connect.ts ADDRESS PORT COUNT AT_ONCE`. Writes how many had
 * none; where none of them is answered any more, it ends early. */
import { createConnection } from "node:net"

const [host = "", port = "", count = "", atOnce = ""] = process.argv.slice(2)
/** A lost packet is sent again after one second, and after three. */
const timeout = 8000

const isAnswered = (): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(port) })
    const timer = setTimeout(() => done(false), timeout)
    const done = (answered: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answered)
    }
    socket.on("data", () => done(true))
    socket.on("error", () => done(false))
  })

let left = Number(count)
let lost = 0
const worker = async () => {
  while (left-- > 0 && lost < Number(atOnce)) if (!(await isAnswered())) lost++
}
await Promise.all(Array.from({ length: Number(atOnce) }, worker))
process.stdout.write(`${lost}\n`, () => process.exit(0))
