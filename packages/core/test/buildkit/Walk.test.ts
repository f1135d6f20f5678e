import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { isUtf8 } from "node:buffer"
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

  const bytes = (...parts: ReadonlyArray<string | number>): Buffer =>
    Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from([part]))))

  it("refuses a name that is wanted and not UTF-8, and says which", () => {
    const root = tree(["a", "sub/b"])
    fs.writeFileSync(bytes(root, "/sub/caf", 0xe9, ".txt"), "")
    const refused = (filter: Partial<WalkFilter>, file: string) => {
      try {
        paths(root, filter)
      } catch (error) {
        assert.instanceOf(error, NameNotUtf8)
        assert.strictEqual(error instanceof NameNotUtf8 ? error.path : undefined, file)
        return
      }
      assert.fail("not refused")
    }
    refused({}, "sub/caf\ufffd.txt")
    refused({ include: ["sub"] }, "sub/caf\ufffd.txt")
    refused({ follow: ["sub/c*"] }, "sub/caf\ufffd.txt")
    fs.mkdirSync(bytes(root, "/", 0xff, "/"))
    fs.writeFileSync(bytes(root, "/", 0xff, "/x"), "")
    refused({ exclude: ["sub", "?", "!?/x"] }, "\ufffd/x")
  })

  it("passes over a name that is not UTF-8 where nobody wants it", () => {
    const root = tree(["a", "sub/b"])
    fs.writeFileSync(bytes(root, "/r", 0xe9, "sum", 0xe9, ".pdf"), "")
    fs.writeFileSync(bytes(root, "/sub/", 0xe2, 0x82), "")
    fs.mkdirSync(bytes(root, "/", 0xff))
    fs.writeFileSync(bytes(root, "/", 0xff, "/x"), "")
    assert.deepStrictEqual(paths(root, { include: ["a", "sub/b"] }), ["a", "sub", "sub/b"])
    assert.deepStrictEqual(paths(root, { follow: ["a"] }), ["a"])
    assert.deepStrictEqual(paths(root, { exclude: ["*.pdf", "sub/??", "?", "!a"] }), ["a", "sub", "sub/b"])
  })

  it("takes a name that is UTF-8 though it looks as if it were not", () => {
    const root = tree(["a\ufffd", "b"])
    fs.writeFileSync(bytes(root, "/a", 0xff), "")
    assert.deepStrictEqual(paths(root, { exclude: ["b"], include: ["b"] }), [])
    assert.throws(() => paths(root), NameNotUtf8)
    fs.rmSync(bytes(root, "/a", 0xff))
    assert.deepStrictEqual(paths(root), ["a\ufffd", "b"])
  })

  it("refuses a link whose target is not UTF-8 only where it is wanted", () => {
    const root = tree(["a"])
    fs.symlinkSync(bytes("caf", 0xe9), `${root}/link`)
    fs.symlinkSync("caf\ufffd", `${root}/odd`)
    assert.throws(() => paths(root), /what it links to is not UTF-8/)
    assert.deepStrictEqual(paths(root, { exclude: ["link"] }), ["a", "odd"])
  })

  it.prop(
    "lists all names that are UTF-8, in the order of their bytes, with others among them that are excluded",
    [Schema.Array(Schema.Uint8Array)],
    ([random]) => {
      const root = tree([])
      const names = random
        .map((name) => Buffer.from(name.filter((byte) => byte !== 0 && byte !== 0x2f)).subarray(0, 200))
        .filter((name) => name.length > 0 && !["..", "."].includes(name.toString()))
      for (const name of names) fs.writeFileSync(bytes(`${root}/`, ...name), "")
      const valid = Array.from(new Set(names.filter(isUtf8).map(String))).filter(
        (name) => !name.includes("\ufffd")
      )
      assert.deepStrictEqual(paths(root, { exclude: ["*\ufffd*"] }), sortNames(valid))
    }
  )
})
