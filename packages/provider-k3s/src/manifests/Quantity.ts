/** Quantities in the API server's own (canonical) form, so that what is read back compares equal to what was sent. */

/** CPU in thousandths of a core, rounded up: the API server's own precision. */
export const millicores = (cpu: string): number =>
  cpu.endsWith("m") ? Number(cpu.slice(0, -1)) : Math.max(1, Math.ceil(Number(cpu) * 1000 - 1e-6))

/** `1500m`, or `2` for whole cores. */
export const cpuQuantity = (thousandths: number): string =>
  thousandths % 1000 === 0 ? String(thousandths / 1000) : `${thousandths}m`

const units = ["Ki", "Mi", "Gi", "Ti", "Pi"] as const

/** `1024Mi` becomes `1Gi`; what is no memory quantity stays as it is. */
export const memoryQuantity = (memory: string): string => {
  const match = /^([1-9][0-9]*)(Ki|Mi|Gi)$/.exec(memory)
  if (match === null) return memory
  let amount = Number(match[1])
  let unit = units.findIndex((name) => name === match[2])
  while (amount % 1024 === 0 && unit < units.length - 1) {
    amount /= 1024
    unit += 1
  }
  return `${amount}${units[unit] ?? ""}`
}

const binary = Object.fromEntries(units.map((unit, index) => [unit, 1024 ** (index + 1)]))
const decimal = { n: 1e-9, u: 1e-6, m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 }
const factors: Readonly<Record<string, number>> = { ...binary, Ei: 1024 ** 6, ...decimal }

/** The amount of any quantity as Kubernetes writes it: cores, bytes or a count; 0 for what is none. */
export const amountOf = (quantity: string): number => {
  const [, number = "0", suffix = ""] = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)$/.exec(quantity) ?? []
  return Number(number) * (factors[suffix] ?? 0)
}

/** A container's limits, and what of them it reserves. */
export const resourcesOf = (
  { cpu, memory }: { readonly cpu: string; readonly memory: string },
  reserved: { readonly cpu: number; readonly memory: number }
) => {
  const kib = Math.ceil((amountOf(memory) * reserved.memory) / 1024)
  return {
    requests: {
      cpu: cpuQuantity(Math.ceil(millicores(cpu) * reserved.cpu)),
      memory: memoryQuantity(`${kib}Ki`)
    },
    limits: { cpu: cpuQuantity(millicores(cpu)), memory: memoryQuantity(memory) }
  }
}
