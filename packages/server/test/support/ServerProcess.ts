/** A deployer-server process. */
import { type ChildProcess, spawn } from "node:child_process"

const entry = new URL("../../src/main.ts", import.meta.url).pathname

export class ServerProcess {
  readonly child: ChildProcess
  stdout = ""
  stderr = ""
  readonly ended: Promise<number | null>

  constructor(env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, [entry], {
      env: { PATH: process.env["PATH"] ?? "", MCPDEPLOY_HTTP_HOST: "127.0.0.1", ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text))
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text))
    this.ended = new Promise((resolve) => this.child.on("close", resolve))
  }

  /** The port, when it listens. */
  async port(): Promise<number> {
    const found = await until(() => {
      if (this.child.exitCode !== null) throw new Error(`deployer-server ended: ${this.stderr}`)
      return /deployer-server is ready.*"port":(\d+)/.exec(this.stdout)?.[1]
    })
    return Number(found)
  }
  async ready(): Promise<string> {
    const url = `http://127.0.0.1:${await this.port()}`
    await until(async () => ((await fetch(`${url}/readyz`)).ok ? true : undefined))
    return url
  }
  /** The exit code after SIGTERM. */
  async stop(): Promise<number | null> {
    this.child.kill("SIGTERM")
    return this.ended
  }
  [Symbol.dispose](): void {
    this.child.kill("SIGKILL")
  }
}

/** Asks again and again until there is an answer; fails after `seconds`. */
export const until = async <A>(
  ask: () => A | undefined | Promise<A | undefined>,
  seconds = 60
): Promise<A> => {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s`)
    await new Promise((resume) => setTimeout(resume, 100))
  }
}
