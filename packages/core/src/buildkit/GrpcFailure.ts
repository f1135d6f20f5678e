/** A gRPC call that ended with another status than OK, and what BuildKit says about it in the status's details. */
import { fromBinary } from "@bufbuild/protobuf"
import { type Metadata, status } from "@grpc/grpc-js"
import * as Schema from "effect/Schema"
import { type Status, StatusSchema } from "./gen/buildkit_pb.ts"

/** One position range of a source file, 1-based lines, 0-based characters. */
export const SourceRange = Schema.Struct({
  start: Schema.Struct({
    line: Schema.optional(Schema.Int),
    character: Schema.optional(Schema.Int)
  }),
  end: Schema.optional(
    Schema.Struct({ line: Schema.optional(Schema.Int), character: Schema.optional(Schema.Int) })
  )
})

/** `errdefs.Source`: the file and lines that an error is about. */
const SourceDetail = Schema.Struct({
  info: Schema.Struct({
    filename: Schema.optional(Schema.String),
    /** Base64. */
    data: Schema.optional(Schema.String)
  }),
  ranges: Schema.optional(Schema.Array(SourceRange))
})
const VertexDetail = Schema.Struct({ digest: Schema.String })
/** `gatewayapi.ExitMessage`: a step's process ended with this code. */
const ExitDetail = Schema.Struct({ Code: Schema.optional(Schema.Int) })

/** What the details say. */
export interface FailureDetails {
  readonly source?: {
    readonly file: string
    readonly content: string
    readonly ranges: ReadonlyArray<typeof SourceRange.Type>
  }
  readonly vertex?: string
  readonly exitCode?: number
}

/** The status of a call. */
export class GrpcFailure extends Schema.TaggedError<GrpcFailure>()("GrpcFailure", {
  code: Schema.Int,
  detail: Schema.String,
  details: Schema.Struct({
    source: Schema.optionalKey(
      Schema.Struct({ file: Schema.String, content: Schema.String, ranges: Schema.Array(SourceRange) })
    ),
    vertex: Schema.optionalKey(Schema.String),
    exitCode: Schema.optionalKey(Schema.Int)
  })
}) {
  override get message(): string {
    return this.detail
  }
  /** The daemon cannot be reached or went away: nothing is known about the build itself. */
  get connectionLost(): boolean {
    return (
      this.code === status.UNAVAILABLE ||
      this.code === status.CANCELLED ||
      (this.code === status.RESOURCE_EXHAUSTED && /Bandwidth exhausted/.test(this.detail)) ||
      (this.code === status.INTERNAL && /RST_STREAM|Received message|connection|protocol/i.test(this.detail))
    )
  }
  /** The build was stopped because its caller went away, or the daemon did. */
  get cancelled(): boolean {
    return this.code === status.CANCELLED || this.detail.includes("context canceled")
  }
}

const decodeJson = <S extends Schema.Top & { readonly DecodingServices: never }>(
  schema: S,
  value: Uint8Array
): S["Type"] | undefined => {
  const decoded = Schema.decodeOption(Schema.fromJsonString(schema))(Buffer.from(value).toString())
  return decoded._tag === "Some" ? decoded.value : undefined
}

/** Details whose type is not known, or which do not read as it, are left out: the message remains. */
export const detailsOf = (message: Status): FailureDetails => {
  let details: FailureDetails = {}
  for (const { typeUrl, value } of message.details) {
    if (typeUrl.includes("errdefs.Source")) {
      const source = decodeJson(SourceDetail, value)
      if (source === undefined) continue
      const { data = "", filename = "Dockerfile" } = source.info
      const content = Buffer.from(data, "base64").toString()
      details = { ...details, source: { file: filename, content, ranges: source.ranges ?? [] } }
    } else if (typeUrl.includes("errdefs.Vertex")) {
      const vertex = decodeJson(VertexDetail, value)
      if (vertex !== undefined) details = { ...details, vertex: vertex.digest }
    } else if (typeUrl.includes("gatewayapi.ExitMessage")) {
      const exit = decodeJson(ExitDetail, value)
      if (exit?.Code !== undefined) details = { ...details, exitCode: exit.Code }
    }
  }
  return details
}

/** The failure that a `google.rpc.Status` describes. */
export const failureOf = (message: Status): GrpcFailure =>
  new GrpcFailure({ code: message.code, detail: message.message, details: detailsOf(message) })

/** What went wrong with the connection, without the words that grpc-js puts around it. */
const connectionDetail = (detail: string): string =>
  /^No connection established[.] Last error: (?:Error: )?(.+?)[.]? Resolution note: *(.*)$/s
    .exec(detail)
    ?.slice(1)
    .filter((part) => part !== "")
    .join("; ") ?? detail

/** The failure that grpc-js reports. */
export const failureOfCall = (error: unknown): GrpcFailure => {
  if (!(error instanceof Error)) {
    return new GrpcFailure({ code: status.UNKNOWN, detail: String(error), details: {} })
  }
  const code = "code" in error && typeof error.code === "number" ? error.code : status.UNKNOWN
  const detail = "details" in error && typeof error.details === "string" ? error.details : error.message
  const bin = "metadata" in error ? statusDetails(error.metadata) : undefined
  return new GrpcFailure({
    code,
    detail: connectionDetail(detail),
    details: bin === undefined ? {} : detailsOf(bin)
  })
}

const isMetadata = (value: unknown): value is Metadata =>
  typeof value === "object" && value !== null && "get" in value && typeof value.get === "function"

const statusDetails = (metadata: unknown): Status | undefined => {
  if (!isMetadata(metadata)) return undefined
  const [bin] = metadata.get("grpc-status-details-bin")
  if (!Buffer.isBuffer(bin)) return undefined
  try {
    return fromBinary(StatusSchema, bin)
  } catch {
    return undefined
  }
}
