import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { BadPattern, PatternMatcher } from "../../src/buildkit/PatternMatcher.ts"

const matches = (patterns: ReadonlyArray<string>, file: string): boolean =>
  new PatternMatcher(patterns).match(file).matched

/** From the tests of github.com/moby/patternmatcher. */
const vectors: ReadonlyArray<readonly [pattern: string, file: string, matches: boolean]> = [
  ["**", "file", true],
  ["**/", "file", true],
  ["**", "dir/file", true],
  ["**/**", "dir/file", true],
  ["dir/**", "dir/dir2/file", true],
  ["**/dir", "dir", true],
  ["**/dir", "dir/file", true],
  ["**/dir2/*", "dir/dir2/file", true],
  ["**/dir2/**", "dir/dir2/dir3/file", true],
  ["**file", "dir/file", true],
  ["**/file*txt", "dir/dir/file.txt", true],
  ["**/file*.txt*", "dir/dir/file.txt", true],
  ["**/**/*.txt", "file.txt", true],
  ["**/**/*.txt2", "dir/dir/file.txt", false],
  ["a**/*.txt", "a/dir/dir/file.txt", true],
  ["a/*.txt", "a/dir/file.txt", false],
  ["a/*.txt**", "a/file.txt", true],
  ["a[b-d]e", "ae", false],
  ["a[b-d]e", "ace", true],
  ["a[^b-d]e", "aze", true],
  [".*", ".foo", true],
  [".*", "foo", false],
  ["abc.def", "abcZdef", false],
  ["abc?def", "abcZdef", true],
  ["abc?def", "abcdef", false],
  ["a\\\\", "a\\", true],
  ["a\\*b", "a*b", true],
  ["**/foo/bar", "dir/dir2/foo/bar", true],
  ["abc/**", "abc", false],
  ["abc/**", "abc/def/ghi", true],
  ["**/.foo", "bar.foo", false],
  ["a(b)c/def", "a(b)c/xyz", false],
  ["a.|)$(}+{bc", "a.|)$(}+{bc", true],
  ["dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true],
  ["**]", "dir/]", true],
  ["a?c", "a😀c", true]
]

describe("PatternMatcher", () => {
  it.each(vectors)("%s on %s: %s", (pattern, file, expected) => {
    assert.strictEqual(matches([pattern], file), expected)
  })

  it("lets the last pattern that matches decide", () => {
    assert.isFalse(matches(["**", "!util/docker/web"], "util/docker/web/foo"))
    assert.isTrue(matches(["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo"))
    assert.isFalse(matches(["*", "!keep"], "keep"))
  })

  it("ignores empty patterns and cleans the others", () => {
    assert.deepStrictEqual(
      new PatternMatcher(["", "  ", " ./a//b/ ", "!c/../d"]).patterns.map(({ negated, text }) => [
        negated,
        text
      ]),
      [
        [false, "a/b"],
        [false, "d"]
      ]
    )
  })

  it.each(["[", "a[", "[]a]", "[-a]", "[b-a]", "a\\", "!", "[a-]"])("refuses %s", (pattern) => {
    assert.throws(() => new PatternMatcher([pattern]), BadPattern)
  })

  const part = Schema.Literals(["a", "b", "ab", "*", "**", "?", "[ab]", "[^a]", ".", "é", "+", "$", "("])
  const pattern = Schema.Array(part).check(Schema.isMinLength(1), Schema.isMaxLength(4))
  const file = Schema.Array(Schema.Literals(["a", "b", "ab", "é", "+", "(", "x.y"])).check(
    Schema.isMinLength(1),
    Schema.isMaxLength(4)
  )
  it.prop(
    "decides the same from the parent's result as from the whole path",
    [Schema.Array(pattern), file],
    ([given, parts]) => {
      const matcher = new PatternMatcher(given.map((one) => one.join("/")))
      let parent: ReadonlyArray<boolean> | undefined
      for (let length = 1; length <= parts.length; length++) {
        const path = parts.slice(0, length).join("/")
        const result = matcher.match(path, parent)
        assert.strictEqual(result.matched, matcher.match(path).matched, path)
        parent = result.matches
      }
    }
  )
  it.prop("matches a path by itself, whatever is in it", [Schema.String], ([text]) => {
    const name = text.replaceAll(/[/\s]/g, "_")
    if (name === "" || name === "." || name === "..") return
    const escaped = name.replaceAll(/[\\*?[\]!]/g, "\\$&")
    assert.isTrue(matches([escaped], name))
  })
})
