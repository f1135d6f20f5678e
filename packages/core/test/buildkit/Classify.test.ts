import { assert, describe, it } from "@effect/vitest"
import { classify, locationOf } from "../../src/buildkit/Classify.ts"
import { FileUnreadable } from "../../src/buildkit/FileSync.ts"
import { GrpcFailure } from "../../src/buildkit/GrpcFailure.ts"
import { BuildFollower } from "../../src/buildkit/Progress.ts"

const reasonOf = (detail: string, code = 2, sessionFailure?: Error) =>
  classify(new GrpcFailure({ code, detail, details: {} }), {
    address: "unix:///run/buildkit.sock",
    dockerfile: "Dockerfile",
    sessionFailure,
    follower: new BuildFollower()
  })

/** Messages as buildkitd 0.34 gives them, of failures that are hard to bring about in a test. */
const cases: ReadonlyArray<readonly [detail: string, tag: string, retryable: boolean]> = [
  ["failed to solve: write /x: no space left on device", "BuilderDiskFull", true],
  [
    'failed to push registry.internal:5000/dp-a-b/c: failed to do request: Put "http://r/v2": dial tcp 1.2.3.4:5000: connect: connection refused',
    "ImagePushFailed",
    true
  ],
  [
    "failed to push registry.internal:5000/dp-a-b/c: push access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
    "ImagePushFailed",
    false
  ],
  [
    "failed to push r/dp-a-b/c: unexpected status from POST request to http://r/v2/: 500 Internal Server Error",
    "ImagePushFailed",
    true
  ],
  [
    'failed to resolve source metadata for docker.io/library/nope:1: failed to do request: Head "https://r": dial tcp: i/o timeout',
    "BaseImageUnavailable",
    true
  ],
  [
    "failed to resolve source metadata for docker.io/library/nope:1: docker.io/library/nope:1: not found",
    "BaseImageUnavailable",
    false
  ],
  [
    "failed to resolve source metadata for r.example/x:1: pull access denied: authorization failed",
    "BaseImageUnavailable",
    false
  ],
  ["failed to read dockerfile: open Dockerfile: no such file or directory", "DockerfileNotFound", false],
  [
    "failed to read dockerfile: failed to prepare  as 0bnesqjm: failed to rename: rename /snapshots/new-88 /snapshots/1: file exists",
    "BuilderUnreachable",
    true
  ],
  ["no active session for 123: context deadline exceeded", "BuilderUnreachable", true],
  ["failed to solve: context canceled", "BuilderUnreachable", true],
  ["something never seen", "BuildFailed", false]
]

describe("classify", () => {
  it.each(cases)("%s: %s", (detail, tag, retryable) => {
    const reason = reasonOf(detail)
    assert.strictEqual(reason._tag, tag)
    assert.strictEqual(reason.retryable, retryable)
  })

  it("calls a lost connection unreachable, whatever was running", () => {
    assert.strictEqual(reasonOf("Connection dropped", 14)._tag, "BuilderUnreachable")
    assert.strictEqual(reasonOf("Received RST_STREAM with code 2", 13)._tag, "BuilderUnreachable")
  })

  it("names the file of the context that could not be read", () => {
    const reason = reasonOf(
      "rpc error",
      2,
      new FileUnreadable("secret/key", new Error("EACCES: permission denied"))
    )
    assert.strictEqual(reason._tag, "ContextUnreadable")
    assert.include(reason.message, "secret/key cannot be read")
  })
})

describe("locationOf", () => {
  const source = (start: number, end: number, character = 0) => ({
    file: "Dockerfile",
    content: "FROM a\n\n  RUN x --flagg \\\n    y\nCOPY a b\n",
    ranges: [{ start: { line: start, character }, end: { line: end } }]
  })
  it("has line, column and an excerpt with the lines marked", () => {
    assert.deepStrictEqual(locationOf(source(3, 4), "unknown flag: --flagg"), {
      file: "Dockerfile",
      line: 3,
      column: 9,
      endLine: 4,
      excerpt: "   1   FROM a\n   2\n   3 >   RUN x --flagg \\\n   4 >     y\n   5   COPY a b"
    })
    assert.strictEqual(locationOf(source(3, 3), "")?.column, 3)
    assert.strictEqual(locationOf(source(1, 1, 5), "")?.column, 6)
  })
  it("is absent without a range", () => {
    assert.isUndefined(locationOf({ file: "Dockerfile", content: "", ranges: [] }, ""))
    assert.isUndefined(locationOf(undefined, ""))
  })
})
