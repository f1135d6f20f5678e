/** What the daemon reports about a build, as events that people read: steps, whole lines, how far it is. */
import type * as ImageBuilder from "../ImageBuilder.ts"
import type { StatusResponse, Vertex, VertexLog } from "./gen/buildkit_pb.ts"

type BuildEvent = ImageBuilder.BuildEvent
type VertexState = (typeof ImageBuilder.BuildVertex.Type)["state"]

/** How many lines of an instruction an error shows. */
const keptLines = 20
const keptLineLength = 2000
/** A line without end is passed on in pieces of this length, so that output cannot fill the memory. */
const longestLine = 256 * 1024

/** Puts lines together again from chunks, which may end inside a line or inside a character. */
export class LineAssembler {
  private readonly decoder = new TextDecoder()
  private rest = ""

  push(chunk: Uint8Array): Array<string> {
    const text = this.rest + this.decoder.decode(chunk, { stream: true })
    const lines = text.split("\n")
    this.rest = lines.pop() ?? ""
    while (this.rest.length > longestLine) {
      lines.push(this.rest.slice(0, longestLine))
      this.rest = this.rest.slice(longestLine)
    }
    return lines.map(withoutCarriageReturn)
  }

  /** The line that did not end, if there is one. */
  flush(): Array<string> {
    const last = this.rest + this.decoder.decode()
    this.rest = ""
    return last === "" ? [] : [withoutCarriageReturn(last)]
  }
}
const withoutCarriageReturn = (line: string): string => (line.endsWith("\r") ? line.slice(0, -1) : line)

interface Step {
  name: string
  state: VertexState | undefined
  error: string
  readonly stdout: LineAssembler
  readonly stderr: LineAssembler
  lastLines: Array<string>
  /** Log messages taken so far; a stream that is read again begins with the same ones. */
  logs: number
  replayed: number
}

/** "1.2 MB" */
const megabytes = (bytes: number): string =>
  bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`

/** Follows one build. */
export class BuildFollower {
  private readonly steps = new Map<string, Step>()
  private lastProgress = ""
  private fraction = 0

  /** The stream is read from its beginning again: what was already reported is passed over. */
  restart(): void {
    for (const step of this.steps.values()) step.replayed = 0
  }

  /** The events in one message of the status stream. */
  receive(response: StatusResponse): ReadonlyArray<BuildEvent> {
    const events: Array<BuildEvent> = []
    for (const vertex of response.vertexes) this.vertex(vertex, events)
    for (const log of response.logs) this.log(log, events)
    for (const warning of response.warnings) {
      const line = `warning: ${Buffer.from(warning.short).toString()}`
      events.push({ _tag: "BuildLog", vertex: this.step(warning.vertex).name, stream: "stderr", line })
    }
    const transfer = response.statuses.findLast(({ completed }) => completed === undefined)
    const amount = transfer === undefined ? 0 : Number(transfer.current)
    this.progress(
      transfer !== undefined && amount > 0
        ? `${transfer.ID.replace(/:$/, "")} ${megabytes(amount)}`
        : undefined,
      events
    )
    return events
  }

  /** The lines that did not end. */
  flush(): ReadonlyArray<BuildEvent> {
    const events: Array<BuildEvent> = []
    for (const step of this.steps.values()) this.flushStep(step, events)
    return events
  }

  /** The Dockerfile's instruction that a step stands for, without the `[2/5]` in front. */
  instructionOf(vertex: string): string | undefined {
    return this.steps.get(vertex)?.name.replace(instructionStep, "")
  }

  /** The last lines that a step wrote, oldest first. */
  lastLinesOf(vertex: string): ReadonlyArray<string> {
    return this.steps.get(vertex)?.lastLines ?? []
  }

  /** Of the steps that run now, the last lines that any wrote. */
  get lastLines(): ReadonlyArray<string> {
    return (
      Array.from(this.steps.values()).findLast(
        ({ lastLines, state }) => state === "started" && lastLines.length > 0
      )?.lastLines ?? []
    )
  }

  /** The step that failed, and how; the steps that were cancelled because of it do not count. */
  get failed(): { readonly vertex: string; readonly name: string; readonly error: string } | undefined {
    const failed = Array.from(this.steps).filter(([, { error }]) => error !== "")
    const [vertex, step] =
      failed.find(([, { error }]) => !error.includes("context canceled")) ?? failed[0] ?? []
    return vertex === undefined || step === undefined
      ? undefined
      : { vertex, name: step.name, error: step.error }
  }

  private step(vertex: string): Step {
    const known = this.steps.get(vertex)
    if (known !== undefined) return known
    const step: Step = {
      name: vertex,
      state: undefined,
      error: "",
      stdout: new LineAssembler(),
      stderr: new LineAssembler(),
      lastLines: [],
      logs: 0,
      replayed: 0
    }
    this.steps.set(vertex, step)
    return step
  }

  private vertex(vertex: Vertex, events: Array<BuildEvent>): void {
    const step = this.step(vertex.digest)
    step.name = vertex.name
    step.error = cacheStep.test(vertex.name) ? "" : vertex.error
    const state = stateOf(vertex, step.error)
    if (state === undefined || state === step.state) return
    // a replay tells again that it started
    if (state === "started" && step.state !== undefined) return
    if (state !== "started") this.flushStep(step, events)
    step.state = state
    events.push({ _tag: "BuildVertex", id: vertex.digest, name: vertex.name, state })
  }

  private log(log: VertexLog, events: Array<BuildEvent>): void {
    const step = this.step(log.vertex)
    step.replayed++
    if (step.replayed <= step.logs) return
    step.logs = step.replayed
    const stdout = log.stream === 1n
    const lines = (stdout ? step.stdout : step.stderr).push(log.msg)
    this.addLines(step, stdout ? "stdout" : "stderr", lines, events)
  }

  private flushStep(step: Step, events: Array<BuildEvent>): void {
    this.addLines(step, "stdout", step.stdout.flush(), events)
    this.addLines(step, "stderr", step.stderr.flush(), events)
  }

  private addLines(
    step: Step,
    stream: "stdout" | "stderr",
    lines: ReadonlyArray<string>,
    events: Array<BuildEvent>
  ): void {
    if (lines.length === 0) return
    for (const line of lines) events.push({ _tag: "BuildLog", vertex: step.name, stream, line })
    const kept = lines.slice(-keptLines).map((line) => line.slice(0, keptLineLength))
    step.lastLines = [...step.lastLines, ...kept].slice(-keptLines)
  }

  /** The end is known once the Dockerfile's own steps are, and more may follow: it never goes back. */
  private progress(transfer: string | undefined, events: Array<BuildEvent>): void {
    const steps = Array.from(this.steps.values())
    const done = steps.filter(({ state }) => state === "completed" || state === "cached").length
    const message = transfer ?? `${done} of ${steps.length} steps`
    if (message === this.lastProgress || steps.length === 0) return
    this.lastProgress = message
    if (steps.some(({ name }) => instructionStep.test(name))) {
      this.fraction = Math.max(this.fraction, done / (steps.length + 1))
    }
    events.push({ _tag: "BuildProgress", message, ...(this.fraction > 0 ? { fraction: this.fraction } : {}) })
  }
}

/** `[2/5] RUN …`, `[build 2/5] RUN …` */
const instructionStep = /^\[(?:[^\]]* )?\d+\/\d+\] /
/** A cache that is not there yet, or cannot be written, is no failure. */
const cacheStep = /^(?:importing|exporting) cache /

const stateOf = (vertex: Vertex, error: string): VertexState | undefined => {
  if (vertex.completed !== undefined) {
    return error !== "" ? "failed" : vertex.cached ? "cached" : "completed"
  }
  return vertex.started === undefined ? undefined : "started"
}
