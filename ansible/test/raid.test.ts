/** The watcher of arrays, on folders like the kernel's: no kernel of a test has an array to lose. */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterEach, beforeEach, describe, expect, it } from "vitest"

const program = fileURLToPath(new URL("../roles/raid/files/mcpdeploy-raid", import.meta.url))

describe("mcpdeploy-raid", () => {
  let folder = ""
  const told: Array<string> = []
  const server = createServer(async (request, response) => {
    told.push(await text(request))
    response.end()
  })
  const watch = (...args: ReadonlyArray<string>) =>
    promisify(execFile)("sh", [program, ...args], {
      env: {
        PATH: process.env["PATH"] ?? "",
        RAID_SETTINGS: join(folder, "raid.env"),
        RAID_BLOCKS: join(folder, "block"),
        RAID_METRICS: join(folder, "textfile/raid.prom")
      }
    })
  const array = (name: string, degraded: number) => {
    mkdirSync(join(folder, "block", name, "md"), { recursive: true })
    writeFileSync(join(folder, "block", name, "md/degraded"), `${degraded}\n`)
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "mcpdeploy-raid-"))
    told.length = 0
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve)
    })
    const address: AddressInfo | string | null = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    writeFileSync(
      join(folder, "raid.env"),
      `RAID_WEBHOOK_URL='http://127.0.0.1:${address.port}/secret'\nRAID_EXPECTED_ARRAYS=2\n`
    )
  })
  afterEach(() => {
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it("counts lost disks and missing arrays", async () => {
    array("md0", 1)
    await watch("metrics")
    const metrics = readFileSync(join(folder, "textfile/raid.prom"), "utf8")
    expect(metrics).toContain('mcpdeploy_raid_degraded_disks{array="md0"} 1')
    expect(metrics).toContain("mcpdeploy_raid_missing_arrays 1")
  })

  it("tells of a lost disk at once", async () => {
    await watch("Fail", "/dev/md0", "/dev/sdb1")
    expect(told).toHaveLength(1)
    const message: unknown = JSON.parse(told[0] ?? "")
    expect(message).toEqual({ text: expect.stringMatching(/RAID Fail: array \/dev\/md0, disk \/dev\/sdb1/) })
  })

  it("does not tell of what needs nobody", async () => {
    await watch("NewArray", "/dev/md0")
    await watch("Rebuild40", "/dev/md0")
    expect(told).toEqual([])
  })
})
