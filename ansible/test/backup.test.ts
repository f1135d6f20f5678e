/** A node's backup is lost, restored and equal, with the program that runs on the nodes and a real restic. */
import { execFile, execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const program = new URL("../roles/backup/files/mcpdeploy-backup", import.meta.url).pathname
const hasRestic = (() => {
  try {
    execFileSync("restic", ["version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

describe.skipIf(!hasRestic)(
  `backup${hasRestic ? "" : " (SKIPPED: restic is not installed: apt-get install restic)"}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), "mcpdeploy-backup-"))
    const data = join(folder, "registry")
    const gitea = join(folder, "gitea")
    const metrics = join(folder, "metrics")
    const prom = join(metrics, "backup.prom")
    const password = "canary-backup-password"
    const env = {
      RESTIC_REPOSITORY: join(folder, "repository"),
      RESTIC_PASSWORD: password,
      RESTIC_CACHE_DIR: join(folder, "cache"),
      BACKUP_HOST: "ops-1",
      BACKUP_PATHS: `${data}:${gitea}`,
      BACKUP_BEFORE: `cp ${join(gitea, "gitea.db")} ${join(gitea, "gitea.db.backup")}`,
      BACKUP_KEEP: "--keep-last 2",
      BACKUP_METRICS: metrics
    }
    const run = (args: ReadonlyArray<string>, more: Partial<typeof env> = {}, input = "") => {
      const running = promisify(execFile)(program, [...args], {
        env: { PATH: process.env["PATH"], ...env, ...more }
      })
      running.child.stdin?.end(input)
      return running.then(
        ({ stderr, stdout }) => ({ code: 0, out: stdout + stderr }),
        (error: { readonly code: number; readonly stdout: string; readonly stderr: string }) => ({
          code: error.code,
          out: error.stdout + error.stderr
        })
      )
    }
    const isSame = (a: string, b: string) =>
      execFileSync("diff", ["-r", "--no-dereference", a, b], { encoding: "utf8" }) === ""
    const metric = (name: string) =>
      Number(new RegExp(`^${name} (\\d+)$`, "m").exec(readFileSync(prom, "utf8"))?.[1])

    beforeAll(() => {
      for (const path of [
        join(data, "docker/registry/v2/blobs"),
        join(gitea, "repositories/ann/shop.git"),
        metrics
      ])
        mkdirSync(path, { recursive: true })
      for (let index = 0; index < 50; index++)
        writeFileSync(join(data, "docker/registry/v2/blobs", `${index}`), randomBytes(20_000))
      writeFileSync(join(gitea, "gitea.db"), "the database")
      writeFileSync(join(gitea, "repositories/ann/shop.git/HEAD"), "ref: refs/heads/main\n")
    })
    afterAll(() => rmSync(folder, { recursive: true, force: true }))

    it("is made, lost, restored and equal, and its times are told", async () => {
      const made = await run(["run"])
      assert.strictEqual(made.code, 0, made.out)
      assert.strictEqual(metric("mcpdeploy_backup_failed"), 0)
      assert.closeTo(metric("mcpdeploy_backup_success_timestamp_seconds"), Date.now() / 1000, 60)
      const before = join(folder, "before")
      cpSync(data, join(before, "registry"), { recursive: true })
      cpSync(gitea, join(before, "gitea"), { recursive: true })
      rmSync(data, { recursive: true })
      rmSync(gitea, { recursive: true })
      const begun = Date.now()
      const restored = await run(["restore", "/"])
      assert.strictEqual(restored.code, 0, restored.out)
      process.stdout.write(
        `the ops node's data lost and restored in ${((Date.now() - begun) / 1000).toFixed(1)} s\n`
      )
      assert.isTrue(isSame(data, join(before, "registry")))
      assert.isTrue(isSame(gitea, join(before, "gitea")))
      assert.strictEqual(readFileSync(join(gitea, "gitea.db.backup"), "utf8"), "the database")
    })

    it("is encrypted, keeps as many as it is told, and says its password nowhere", async () => {
      for (let count = 0; count < 3; count++) {
        writeFileSync(join(data, "changes"), String(count))
        const { code, out } = await run(["run"])
        assert.strictEqual(code, 0, out)
        assert.notInclude(out, password)
      }
      const { out } = await run(["list"])
      assert.match(out, /^2 snapshots$/m)
      const found = execFileSync("sh", ["-c", `grep -rl refs/heads/main ${env.RESTIC_REPOSITORY} || true`], {
        encoding: "utf8"
      }).trim()
      assert.strictEqual(found, "")
    })

    it("has its password changed once, by the first of the nodes that share it; the old one opens it no more", async () => {
      const next = "canary-next-password"
      const first = await run(["password"], {}, `${next}\n`)
      assert.strictEqual(first.code, 0, first.out)
      assert.match(first.out, /has the new password/)
      const second = await run(["password"], {}, `${next}\n`)
      assert.match(second.out, /has this password/)
      assert.notInclude(first.out + second.out, next)
      assert.match((await run(["list"])).out, /wrong password/)
      assert.match((await run(["list"], { RESTIC_PASSWORD: next })).out, /^2 snapshots$/m)
      assert.strictEqual((await run(["password"], { RESTIC_PASSWORD: next }, `${password}\n`)).code, 0)
      const neither = await run(["password"], { RESTIC_PASSWORD: "another" }, `${next}\n`)
      assert.notStrictEqual(neither.code, 0)
      assert.match(neither.out, /wrong password/)
    })

    it("that cannot be made is told: a wrong password, no such folder, a program that fails before", async () => {
      const success = metric("mcpdeploy_backup_success_timestamp_seconds")
      const wrong = await run(["run"], { RESTIC_PASSWORD: "another" })
      assert.notStrictEqual(wrong.code, 0)
      assert.match(wrong.out, /wrong password/)
      assert.strictEqual(metric("mcpdeploy_backup_failed"), 1)
      assert.strictEqual(
        metric("mcpdeploy_backup_success_timestamp_seconds"),
        success,
        "the last success stays known"
      )
      const nowhere = await run(["run"], { BACKUP_PATHS: join(folder, "nowhere") })
      assert.match(nowhere.out, /nowhere is not there: correct backup_paths/)
      assert.notStrictEqual((await run(["run"], { BACKUP_BEFORE: "false" })).code, 0)
      assert.strictEqual((await run(["run"])).code, 0)
      assert.strictEqual(metric("mcpdeploy_backup_failed"), 0)
      assert.isTrue(existsSync(prom))
    })
  }
)
