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
