/** FirstLine: the first words of an answer, for a person to read. */

const shownCharacters = 160

/** Of a page its title, else its text. */
const textOf = (html: string): string =>
  /<title[^>]*>([^<]+)/i.exec(html)?.[1] ??
  html.replaceAll(/<(script|style)\b.*?(?:<\/\1\s*>|$)/gis, " ").replaceAll(/<[^>]*(?:>|$)/g, " ")

/** The first line of a body that says anything, without control characters; empty when none does. */
export const firstLine = (body: string, contentType: string): string => {
  const text = /^[^;]*\bhtml\b/i.test(contentType) ? textOf(body) : body
  const line = text
    .split(/[\r\n]+/)
    .map((line) => line.replaceAll(/\p{C}/gu, " ").replaceAll(/\s+/g, " ").trim())
    .find((line) => line !== "")
  return line === undefined || line.length <= shownCharacters
    ? (line ?? "")
    : `${line.slice(0, shownCharacters)}…`
}
