import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import {
  Deframer,
  FieldReader,
  ProtocolError,
  frame,
  writePaddedVarint,
  writeVarint
} from "../../src/buildkit/Framing.ts"

const length = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2000 }))
const cut = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 700 }))

describe("Deframer", () => {
  it.prop(
    "gives back the messages however the bytes are cut",
    [Schema.Array(length), cut],
    ([lengths, size]) => {
      const messages = lengths.map((bytes, index) => Buffer.alloc(bytes, index))
      const bytes = Buffer.concat(messages.map(frame))
      const deframer = new Deframer()
      const received: Array<Buffer> = []
      for (let at = 0; at < bytes.length; at += size) {
        for (const message of deframer.push(bytes.subarray(at, at + size)))
          received.push(Buffer.from(message))
      }
      assert.deepStrictEqual(received, messages)
    }
  )

  it("refuses compressed and oversized messages", () => {
    assert.throws(() => new Deframer().push(Buffer.from([1, 0, 0, 0, 0])), ProtocolError)
    assert.throws(() => new Deframer().push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), ProtocolError)
  })
})

describe("varints", () => {
  const value = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
  it.prop("are read as written", [value], ([number]) => {
    const buffer = Buffer.alloc(16)
    const end = writeVarint(buffer, 0, number)
    assert.strictEqual(new FieldReader(buffer.subarray(0, end)).varint(), number)
  })
  it.prop(
    "mean the same when padded",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 28 - 1 }))],
    ([number]) => {
      const buffer = Buffer.alloc(16)
      assert.strictEqual(writePaddedVarint(buffer, 0, number, 4), 4)
      const reader = new FieldReader(buffer.subarray(0, 4))
      assert.strictEqual(reader.varint(), number)
      assert.isTrue(reader.done)
    }
  )
  it("that do not end are refused", () => {
    assert.throws(() => new FieldReader(Buffer.alloc(12, 0xff)).varint(), ProtocolError)
    assert.throws(() => new FieldReader(Buffer.from([5, 1])).bytes(), ProtocolError)
  })
})
