import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import { type FileStat, goMode, isRegular } from "../../src/buildkit/FileStat.ts"
import { NameNotUtf8, type WalkFilter, sortNames, walk } from "../../src/buildkit/Walk.ts"

const folders: Array<string> = []
afterAll(() => {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true })
})

/** A folder with these files; a path that ends in "/" is a folder. */
const tree = (files: ReadonlyArray<string>): string => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "mcpdeploy-walk-"))
  folders.push(root)
  for (const file of files) {
    const full = path.join(root, file)
    fs.mkdirSync(file.endsWith("/") ? full : path.dirname(full), { recursive: true })
    if (!file.endsWith("/")) fs.writeFileSync(full, file)
  }
  return root
}
const all: WalkFilter = { include: [], exclude: [], follow: [] }
const paths = (root: string, filter: Partial<WalkFilter> = {}): ReadonlyArray<string> =>
  Array.from(walk(root, { ...all, ...filter }), ({ path: file }) => file)
const statOf = (root: string, file: string): FileStat | undefined =>
  Array.from(walk(root, all)).find((stat) => stat.path === file)

describe("walk", () => {
  it("lists a folder before what is in it, siblings in the order of UTF-8's bytes", () => {
    const root = tree(["b", "a/z", "a.b", "a-b", "\u{1F600}", "\uff41", "é", "Z"])
    assert.deepStrictEqual(paths(root), ["Z", "a", "a/z", "a-b", "a.b", "b", "é", "\uff41", "\u{1F600}"])
    assert.deepStrictEqual(sortNames(["\u{1F600}", "\uff41"]), ["\uff41", "\u{1F600}"])
  })

  it("excludes, with exceptions, and lists the folders above an exception", () => {
    const root = tree(["a/b/keep", "a/b/drop", "a/c", "d", "node_modules/x/y"])
    assert.deepStrictEqual(paths(root, { exclude: ["a", "!a/b/keep", "node_modules"] }), [
      "a",
      "a/b",
      "a/b/keep",
      "d"
    ])
    assert.deepStrictEqual(paths(root, { exclude: ["*", "!**/keep"] }), ["a", "a/b", "a/b/keep"])
    assert.deepStrictEqual(paths(root, { exclude: ["**"] }), [])
  })

  it("includes only what is asked for", () => {
    const root = tree(["a/b/x", "a/b/y", "a/c", "d"])
    assert.deepStrictEqual(paths(root, { include: ["a/b/x"] }), ["a", "a/b", "a/b/x"])
    assert.deepStrictEqual(paths(root, { include: ["**/y"] }), ["a", "a/b", "a/b/y"])
    assert.deepStrictEqual(paths(root, { include: ["a"], exclude: ["a/b"] }), ["a", "a/c"])
  })

  it("sends a symlink as a symlink, and never what it points to outside", () => {
    const root = tree(["dir/file"])
    fs.symlinkSync("/etc", path.join(root, "out"))
    fs.symlinkSync("../../../../etc/passwd", path.join(root, "dir/climbs"))
    const entries = Array.from(walk(root, all))
    assert.deepStrictEqual(
      entries.map((entry) => entry.path),
      ["dir", "dir/climbs", "dir/file", "out"]
    )
    assert.strictEqual(statOf(root, "out")?.linkName, "/etc")
    assert.isFalse(isRegular(statOf(root, "out")?.mode ?? 0))
  })

  it("follows the symlinks of paths that are asked for, inside the root", () => {
    const root = tree(["real/a", "other/b", "c"])
    fs.symlinkSync("real", path.join(root, "link"))
    fs.symlinkSync("/real/a", path.join(root, "absolute"))
    fs.symlinkSync("../../c", path.join(root, "other/climbs"))
    assert.deepStrictEqual(paths(root, { follow: ["link/a"] }), ["link", "real", "real/a"])
    assert.deepStrictEqual(paths(root, { follow: ["absolute"] }), ["absolute", "real", "real/a"])
    assert.deepStrictEqual(paths(root, { follow: ["other/cl*"] }), ["c", "other", "other/climbs"])
    assert.deepStrictEqual(paths(root, { follow: ["/../c"] }), ["c"])
    assert.deepStrictEqual(paths(root, { follow: ["c", "."] }), paths(root))
  })

  it("tells hard links, modes, sizes and times to the nanosecond", () => {
    const root = tree(["first", "sub/"])
    fs.linkSync(path.join(root, "first"), path.join(root, "second"))
    fs.chmodSync(path.join(root, "first"), 0o4755)
    fs.chmodSync(path.join(root, "sub"), 0o1777)
    execFileSync("touch", ["-d", "2001-02-03T04:05:06.123456789Z", path.join(root, "first")])
    assert.deepStrictEqual(statOf(root, "first"), {
      path: "first",
      mode: goMode.setuid + 0o755,
      size: 5,
      modifiedNs: 981_173_106_123_456_789n,
      linkName: "",
      deviceMajor: 0,
      deviceMinor: 0
    })
    assert.strictEqual(statOf(root, "second")?.linkName, "first")
    assert.strictEqual(statOf(root, "second")?.size, 0)
    assert.strictEqual(statOf(root, "sub")?.mode, goMode.directory + goMode.sticky + 0o777)
  })

  it("marks a named pipe as such, so that nobody reads it", () => {
    const root = tree([])
    execFileSync("mkfifo", [path.join(root, "pipe")])
    const mode = statOf(root, "pipe")?.mode ?? 0
    assert.strictEqual(mode - (mode & 0o777), goMode.namedPipe)
    assert.isFalse(isRegular(mode))
  })

  it("does not leave out a file whose name is not UTF-8: it says so", () => {
    const root = tree([])
    fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/bad-`), Buffer.from([0xff])]), "")
    assert.throws(() => paths(root), NameNotUtf8)
  })
})
