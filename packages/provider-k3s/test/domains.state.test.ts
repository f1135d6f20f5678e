/** What is said about a certificate, from the objects that cert-manager keeps: above all when it, or the authority, is away. */
import { assert, describe, it } from "@effect/vitest"
import { type Issuance, stateOf } from "../src/domains/CertificateState.ts"

const start = Date.parse("2026-01-01T00:00:00Z")
const after = (seconds: number): number => start + seconds * 1000
const creationTimestamp = new Date(start).toISOString()

const certificate = (status?: NonNullable<Issuance["certificate"]>["status"]): Issuance["certificate"] => ({
  metadata: { name: "c", uid: "1", creationTimestamp },
  ...(status === undefined ? {} : { status })
})
const request = {
  metadata: { name: "r", creationTimestamp, annotations: { "cert-manager.io/certificate-name": "c" } }
}
const order = (status?: Issuance["orders"][number]["status"]): Issuance["orders"][number] => ({
  metadata: { name: "o", creationTimestamp, ownerReferences: [{ kind: "CertificateRequest", name: "r" }] },
  ...(status === undefined ? {} : { status })
})
const none = { requests: [], orders: [], challenges: [] }
const issuing = { conditions: [{ type: "Issuing", status: "True" }] }
const ready = { conditions: [{ type: "Ready", status: "True" }] }

const said = (issuance: Issuance, seconds: number): string => {
  const state = stateOf(issuance, after(seconds))
  return state._tag === "Issuing"
    ? (state.waitingFor ?? "")
    : state._tag === "Ready"
      ? (state.problem ?? "")
      : state._tag
}

describe("a certificate that nothing happens to", () => {
  it("is waited for at first", () => {
    assert.strictEqual(said({ ...none, certificate: certificate() }, 2), "")
    assert.strictEqual(
      said({ ...none, certificate: certificate(issuing), requests: [request], orders: [order()] }, 2),
      ""
    )
  })

  it("tells that cert-manager does not act", () => {
    assert.match(said({ ...none, certificate: certificate() }, 30), /^cert-manager has done nothing for 30 s/)
    assert.match(
      said({ ...none, certificate: certificate(issuing), requests: [request] }, 30),
      /^cert-manager has done nothing for 30 s/
    )
    const due = { ...ready, renewalTime: creationTimestamp }
    assert.strictEqual(said({ ...none, certificate: certificate(due) }, 60), "")
    assert.match(said({ ...none, certificate: certificate(due) }, 7200), /^its renewal was due at 2026/)
  })

  it("tells that the authority does not answer, also when it is a renewal", () => {
    const waiting = { requests: [request], orders: [order()], challenges: [] }
    assert.match(
      said({ ...waiting, certificate: certificate(issuing) }, 30),
      /^the certificate authority has not taken the order for 30 s/
    )
    assert.match(
      said({ ...waiting, certificate: certificate(ready) }, 30),
      /^the certificate authority has not taken/
    )
    const answered = { ...waiting, orders: [order({ state: "pending" })] }
    assert.strictEqual(said({ ...answered, certificate: certificate(issuing) }, 30), "")
  })
})
