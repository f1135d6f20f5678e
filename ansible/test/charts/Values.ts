/** What a chart does not know of the values that it is given. */

type Tree = { readonly [key: string]: unknown }

const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** As helm lays a subchart's values below those of its parent. */
export const merged = (below: Tree, above: Tree): Tree => ({
  ...below,
  ...Object.fromEntries(
    Object.entries(above).map(([key, value]) => {
      const under = below[key]
      return [key, isTree(under) && isTree(value) ? merged(under, value) : value]
    })
  )
})

export interface Chart {
  /** The chart's own values, its subcharts' among them. */
  readonly defaults: Tree
  /** The text of all its values.yaml: a key that has no default stands there behind a `#`. */
  readonly text: string
  /** Paths below which anything may stand, because it is a program's configuration and not the chart's. */
  readonly free: ReadonlyArray<string>
}

/** Maps of the user's own keys, even where the chart has one by default. */
const open = new Set(["nodeSelector"])

/** Paths of keys that the chart neither has nor describes. A value that is `{}` by default may hold anything. */
export const unknownKeys = (values: Tree, chart: Chart): ReadonlyArray<string> => {
  const described = new Set([...chart.text.matchAll(/^\s*#[#\s-]*([\w.-]+):/gm)].map(([, key]) => key))
  const visit = (given: Tree, known: Tree, path: string): ReadonlyArray<string> =>
    Object.entries(given).flatMap(([key, value]) => {
      const at = path === "" ? key : `${path}.${key}`
      if (chart.free.includes(at)) return []
      if (!(key in known)) return described.has(key) ? [] : [at]
      const under = known[key]
      const isClosed = isTree(under) && Object.keys(under).length > 0 && !open.has(key)
      return isTree(value) && isClosed ? visit(value, under, at) : []
    })
  return visit(values, chart.defaults, "")
}
