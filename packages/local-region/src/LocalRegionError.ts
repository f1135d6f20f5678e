/** What can keep a local region from being there, each with what to do. */
import * as Schema from "effect/Schema"
import { BaseImagesError } from "./images/BaseImagesError.ts"

/** A program is neither installed nor can it be built here. Installing it helps; a retry does not. */
export class ToolUnavailable extends Schema.TaggedError<ToolUnavailable>()("ToolUnavailable", {
  tool: Schema.String,
  advice: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return `${this.tool} is missing: ${this.advice}`
  }
}

/** A program that was started for a result ended with an error. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  command: Schema.String,
  exitCode: Schema.Int,
  /** Its last lines. */
  output: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `${this.command} exited with ${this.exitCode}:\n${this.output}`
  }
}

/** A server ended, or did not get healthy in time. The whole region ends with it. */
export class ServerFailed extends Schema.TaggedError<ServerFailed>()("ServerFailed", {
  server: Schema.String,
  detail: Schema.String,
  logFile: Schema.String,
  lastLines: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `${this.server} ${this.detail}. The end of ${this.logFile}:\n${this.lastLines}`
  }
}

/** This machine cannot hold a region, or its data folder cannot be used. */
export class MachineUnsuitable extends Schema.TaggedError<MachineUnsuitable>()("MachineUnsuitable", {
  detail: Schema.String
}) {
  readonly retryable = false
  override get message(): string {
    return this.detail
  }
}

/** The region's bundle of processes ended while it was waited for. */
export class RegionEnded extends Schema.TaggedError<RegionEnded>()("RegionEnded", {
  detail: Schema.String
}) {
  readonly retryable = true
  override get message(): string {
    return `the region ended: ${this.detail}`
  }
}

/** Why the region did not do what it was asked for, as one of many causes. */
export const LocalRegionReason = Schema.Union([
  ToolUnavailable,
  CommandFailed,
  ServerFailed,
  MachineUnsuitable,
  RegionEnded,
  BaseImagesError
])
export type LocalRegionReason = typeof LocalRegionReason.Type

/** A {@link LocalRegionReason}, with what was being done. */
export class LocalRegionError extends Schema.TaggedError<LocalRegionError>()("LocalRegionError", {
  operation: Schema.Literals(["up", "down", "status", "logs", "images", "tools"]),
  reason: LocalRegionReason
}) {
  get retryable(): boolean {
    return this.reason.retryable
  }
  override get message(): string {
    return `local ${this.operation}: ${this.reason.message}`
  }
}
