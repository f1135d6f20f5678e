/** Plan of DNS records: a pure function of what is wanted and what is there. */
import type { DnsRecordFields } from "./api/CloudflareApi.ts"
import type { DnsRecord } from "./api/Resources.ts"
import type { ActualState } from "./ActualState.ts"
import { type CloudflareChange, type CloudflareConflict, type CloudflarePlan, diffOf } from "./Change.ts"
import type { DesiredRecord, DesiredState } from "./DesiredState.ts"
import { adopted, isOwned, marker, regionOf } from "./Ownership.ts"

/** The types that decide where a name leads to. Others (TXT, MX, CAA) are in nobody's way. */
const leading = ["A", "AAAA", "CNAME"]

const resourceOf = (record: { readonly type: string; readonly name: string }) =>
  `record ${record.type} ${record.name}`
const show = (record: DnsRecord) =>
  `${record.type} ${record.name} → ${record.content ?? ""}${record.proxied === true ? ", proxied" : ""}`

const fieldsOf = (
  { content, name, proxied, ttl, type }: DesiredRecord,
  comment: string
): DnsRecordFields => ({
  type,
  name,
  content,
  proxied,
  ttl,
  comment
})

const diffRecord = (before: DnsRecord | undefined, after: DesiredRecord, comment: string) =>
  diffOf([
    ["type", before?.type, after.type],
    ["content", before?.content, after.content],
    ["proxied", before?.proxied ?? undefined, after.proxied],
    ["ttl", before?.ttl, after.ttl],
    ["comment", before?.comment, comment]
  ])

const leadsThere = (record: DnsRecord, wanted: DesiredRecord) =>
  record.type === wanted.type &&
  record.content === wanted.content &&
  (record.proxied ?? false) === wanted.proxied

const conflictOf = (wanted: DesiredRecord, foreign: DnsRecord): CloudflareConflict => {
  const other = regionOf(foreign.comment)
  const todo =
    other === undefined
      ? `delete it, or give it the comment "${wanted.owner}" so that it is taken over`
      : `it is region ${other}'s: set customDomains to "steered" in both regions, so that a load balancer has both`
  return {
    resource: resourceOf(wanted),
    detail: `${show(foreign)} is in the way of ${wanted.type} → ${wanted.content}; ${todo}`
  }
}

export const planRecords = (desired: DesiredState, actual: ActualState): CloudflarePlan => {
  const changes: Array<CloudflareChange> = []
  const conflicts: Array<CloudflareConflict> = []
  /** Records that a wanted one accounts for. */
  const used = new Set<string>()
  const free = (test: (record: DnsRecord) => boolean) =>
    actual.records.find((record) => !used.has(record.id) && test(record))
  const wantedNames = new Set(desired.records.map(({ name }) => name))

  // First those that are there, so that an update does not take one that another wanted record is.
  const matched = new Map<DesiredRecord, DnsRecord>()
  for (const wanted of desired.records) {
    const same = free((record) => record.name === wanted.name && leadsThere(record, wanted))
    if (same === undefined) continue
    used.add(same.id)
    matched.set(wanted, same)
  }
  for (const wanted of desired.records) {
    const resource = resourceOf(wanted)
    const same = matched.get(wanted)
    if (same !== undefined) {
      const owned = isOwned(same.comment, wanted.owner)
      const other = regionOf(same.comment)
      if (!owned && other !== undefined && other !== desired.region) {
        conflicts.push(conflictOf(wanted, same))
        continue
      }
      const comment = owned ? (same.comment ?? wanted.owner) : adopted(same.comment, wanted.owner)
      const diff = diffRecord(same, wanted, comment)
      if (diff.length === 0) continue
      const operation = { kind: "updateRecord", id: same.id, fields: fieldsOf(wanted, comment) } as const
      changes.push({ resource, action: owned ? "update" : "adopt", diff, destructive: false, operation })
      continue
    }
    const ours = free(
      (record) =>
        record.name === wanted.name && leading.includes(record.type) && isOwned(record.comment, wanted.owner)
    )
    if (ours === undefined) {
      const operation = { kind: "createRecord", fields: fieldsOf(wanted, wanted.owner) } as const
      const diff = diffRecord(undefined, wanted, wanted.owner)
      changes.push({ resource, action: "create", diff, destructive: false, operation })
      continue
    }
    used.add(ours.id)
    const comment = ours.comment ?? wanted.owner
    const operation = { kind: "updateRecord", id: ours.id, fields: fieldsOf(wanted, comment) } as const
    const diff = diffRecord(ours, wanted, comment)
    changes.push({ resource, action: "update", diff, destructive: false, operation })
  }

  for (const record of actual.records) {
    if (used.has(record.id) || !leading.includes(record.type)) continue
    if (isOwned(record.comment, marker(desired.region))) {
      changes.push({
        resource: resourceOf(record),
        action: "delete",
        diff: [`- ${show(record)}`],
        destructive: true,
        operation: { kind: "deleteRecord", id: record.id }
      })
    } else if (wantedNames.has(record.name)) {
      const wanted = desired.records.find(({ name }) => name === record.name)
      if (wanted !== undefined) conflicts.push(conflictOf(wanted, record))
    }
  }
  return { changes, conflicts }
}
