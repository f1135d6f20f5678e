/**
 * RequestSize: how much a request may hold. Asked where one comes from outside; what was stored earlier is read whatever its size.
 *
 * A request stands in a ConfigMap (1 MiB), its variables in a Deployment with each `$` doubled and each name once more
 * (etcd takes 1.5 MiB), and in messages of Temporal (2 MiB); a process gets 2 MiB of arguments and environment, secrets included.
 */
import * as Schema from "effect/Schema"

/** Of the request as JSON. */
export const maxRequestBytes = 512 * 1024

/** Of `run.env` and `run.secrets` together. */
export const maxVariables = 1000

/** What a request is made of; each part is one of core's Schemas, or what it encodes to. */
export interface RequestParts {
  readonly source?: object
  readonly build?: object
  readonly run: { readonly env?: object; readonly secrets?: object }
  readonly trigger?: object
}

/** What is too large, and by how much. */
export class RequestTooLarge extends Schema.TaggedError<RequestTooLarge>()("RequestTooLarge", {
  /** Path of the largest part, such as `["run", "env"]`. */
  part: Schema.Array(Schema.String),
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.part.join(".")}: ${this.detail}`
  }
}

const count = (number: number): string => number.toLocaleString("en-US")

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? "")

/** What of the parts is too large. */
export const tooLarge = ({ build, run, source, trigger }: RequestParts): RequestTooLarge | undefined => {
  const variables = Object.keys(run.env ?? {}).length + Object.keys(run.secrets ?? {}).length
  if (variables > maxVariables)
    return new RequestTooLarge({
      part: ["run", Object.keys(run.env ?? {}).length > maxVariables / 2 ? "env" : "secrets"],
      detail: `${count(variables)} variables, secrets included, are more than the ${count(maxVariables)} that a service may have`
    })
  const total = bytesOf({ source, build, run, trigger })
  if (total <= maxRequestBytes) return undefined
  const parts = { source, build, run, trigger }
  const [largest] = Object.entries(parts)
    .flatMap(([name, fields]) =>
      Object.entries(fields ?? {}).map(([field, value]) => ({ part: [name, field], bytes: bytesOf(value) }))
    )
    .toSorted((a, b) => b.bytes - a.bytes)
  return new RequestTooLarge({
    part: largest?.part ?? [],
    detail: `takes ${count(largest?.bytes ?? total)} of the ${count(total)} bytes that the service has as JSON, and ${count(maxRequestBytes)} are allowed: put large values into files of the image`
  })
}

/** The same for a Schema. */
export const isNotTooLarge = Schema.makeFilter((parts: RequestParts) => {
  const problem = tooLarge(parts)
  return problem === undefined ? undefined : { path: problem.part, issue: problem.detail }
})
