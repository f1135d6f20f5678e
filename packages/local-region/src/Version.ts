/** Version numbers, as programs print them. */

const numbers = (text: string): ReadonlyArray<number> | undefined =>
  /\d+(?:\.\d+)+/.exec(text)?.[0].split(".").map(Number)

/** Whether the first version number in the text is `minimum` or newer; false when there is none. */
export const atLeast = (text: string, minimum: string): boolean => {
  const found = numbers(text)
  const wanted = numbers(minimum)
  if (found === undefined || wanted === undefined) return false
  for (const [index, part] of wanted.entries()) {
    const other = found[index] ?? 0
    if (other !== part) return other > part
  }
  return true
}
