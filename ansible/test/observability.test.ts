/** Rules and dashboards: every metric is one that something exports, and every alert's runbook is there. */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { parse } from "yaml"

const files = new URL("../roles/observability/files/", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, files), "utf8")

const Rules = Schema.Struct({
  groups: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      rules: Schema.Array(
        Schema.Struct({
          alert: Schema.String,
          expr: Schema.String,
          for: Schema.optionalKey(Schema.String),
          labels: Schema.Struct({ severity: Schema.Literals(["critical", "warning"]) }),
          annotations: Schema.Struct({ summary: Schema.String, runbook_url: Schema.String })
        })
      )
    })
  )
})
const Dashboard = Schema.fromJsonString(
  Schema.Struct({
    uid: Schema.String,
    title: Schema.String,
    panels: Schema.Array(
      Schema.Struct({
        id: Schema.Int,
        title: Schema.String,
        gridPos: Schema.Struct({ x: Schema.Int, y: Schema.Int, w: Schema.Int, h: Schema.Int }),
        targets: Schema.Array(Schema.Struct({ expr: Schema.String }))
      })
    )
  })
)

const rules = Schema.decodeUnknownSync(Rules)(parse(read("rules/mcpdeploy.yaml"))).groups.flatMap(
  (group) => group.rules
)
const dashboards = readdirSync(new URL("dashboards/", files)).map((name) =>
  Schema.decodeSync(Dashboard)(read(`dashboards/${name}`))
)

const documented = new Set(
  [
    ...readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8").matchAll(
      /`([a-z][a-z_]+)[`{]/g
    )
  ].map(([, name = ""]) => name)
)
/** Of node_exporter, which every node runs. */
const others = new Set(["node_filesystem_avail_bytes", "node_filesystem_size_bytes"])
const metricsIn = (expression: string) =>
  [...expression.matchAll(/\b((?:mcpdeploy|certmanager|node|temporal)_[a-z_]+)/g)].map(
    ([, name = ""]) => name
  )
const isKnown = (name: string) =>
  documented.has(name) || documented.has(name.replace(/_(bucket|sum|count)$/, "")) || others.has(name)

const hasPromtool = spawnSync("promtool", ["--version"]).status === 0

describe("rules and dashboards", () => {
  it.skipIf(!hasPromtool)(
    `are rules that Prometheus takes${hasPromtool ? "" : " (SKIPPED: there is no promtool; apt-get install prometheus)"}`,
    () => {
      const checked = spawnSync("promtool", [
        "check",
        "rules",
        fileURLToPath(new URL("rules/mcpdeploy.yaml", files))
      ])
      assert.strictEqual(checked.status, 0, String(checked.stderr))
      assert.include(String(checked.stdout), `${rules.length} rules found`)
    }
  )

  it("name no metric that nothing exports", () => {
    const expressions = [
      ...rules.map(({ expr }) => expr),
      ...dashboards.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)))
    ]
    for (const expression of expressions) {
      const names = metricsIn(expression)
      assert.isNotEmpty(names, expression)
      for (const name of names) assert.isTrue(isKnown(name), `${name} in ${expression}`)
    }
    assert.isFalse(isKnown("mcpdeploy_no_such_metric"))
  })

  it("lead from every alert to its section of the runbook", () => {
    const headings = new Set(
      [...readFileSync(new URL("../README.md", import.meta.url), "utf8").matchAll(/^#+ (.+)$/gm)].map(
        ([, text = ""]) => text.toLowerCase().replaceAll(" ", "-")
      )
    )
    for (const { alert, annotations } of rules)
      assert.isTrue(
        headings.has(annotations.runbook_url.split("#")[1] ?? ""),
        `${alert}: ${annotations.runbook_url}`
      )
  })

  it("have panels that do not cover each other", () => {
    for (const { panels, title } of dashboards)
      for (const [index, a] of panels.entries())
        for (const b of panels.slice(index + 1)) {
          const [p, q] = [a.gridPos, b.gridPos]
          const isApart = p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y
          assert.isTrue(isApart, `${title}: ${a.title} and ${b.title}`)
        }
  })
})
