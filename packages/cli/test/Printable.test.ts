import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { jsonLine, printable, printableLog, printableText } from "../src/Printable.ts"

// oxlint-disable-next-line no-control-regex
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

describe("text from customers", () => {
  it.prop("never steers a terminal, and loses nothing else", [Schema.String], ([text]) => {
    assert.notMatch(printableText(text), steering)
    assert.notInclude(printable(text), "\n")
    assert.notMatch(jsonLine({ text }), steering)
    assert.deepStrictEqual(JSON.parse(jsonLine({ text })), { text })
    if (!steering.test(text)) assert.strictEqual(printableText(text), text.replaceAll(/[\u200e\u200f]/g, ""))
  })

  it("may be coloured in logs, and only that", () => {
    assert.strictEqual(
      printableLog("\u001b[1;31mred\u001b[0m plain"),
      "\u001b[1;31mred\u001b[0m plain\u001b[0m"
    )
    assert.strictEqual(printableLog("\u001b[2J\u001b]0;owned\u0007\u009b2Jx"), "[2J]0;owned2Jx")
    assert.strictEqual(printableLog("plain\ttext"), "plain\ttext")
  })
})
