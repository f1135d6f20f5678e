/** Starts deploys and what belongs to them, and follows them. Over a `Client` of @temporalio/client that the caller owns. */
import { setTimeout } from "node:timers/promises"
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandle,
  WorkflowNotFoundError
} from "@temporalio/client"
import {
  contractVersion,
  type DeleteServiceInput,
  type DeployInput,
  type DeployOutcome,
  type Progress,
  type Push,
  type PushQuery,
  type PushRecord,
  queries,
  queues,
  type ServiceInput,
  signals,
  workflowIds,
  workflows
} from "./contract.ts"
import type { DeployRequest, DomainStatus, Owner, Receipt, ServiceTarget } from "./data.ts"
import { type Failure, failureOf } from "./failure.ts"

/** A workflow ended with a typed failure. */
export class OperationFailed extends Error {
  override readonly name = "OperationFailed"
  readonly failure: Failure
  constructor(failure: Failure, cause: unknown) {
    super(failure.message, { cause })
    this.failure = failure
  }
}

/** A deploy that was started by itself, outside of a service's order. */
export interface RunningDeploy {
  readonly workflowId: string
  readonly progress: () => Promise<Progress>
  /** Waits for the end. A failed deploy is an outcome; a cancelled one is {@link OperationFailed}. */
  readonly outcome: () => Promise<DeployOutcome>
  /** Asks it to end; it has ended when `outcome` says so. */
  readonly cancel: () => Promise<void>
}

/** How a deploy is followed. */
export interface FollowOptions {
  /** Milliseconds between two questions; 500 when absent. */
  readonly everyMs?: number
  /** Ends the following, not the deploy. */
  readonly signal?: AbortSignal
}

/** What is known of a push: its record, and where its deploy stands while it runs. */
export interface Followed {
  readonly record: PushRecord
  readonly progress?: Progress
}

const typed = async <A>(result: Promise<A>): Promise<A> => {
  try {
    return await result
  } catch (error) {
    throw new OperationFailed(failureOf(error), error)
  }
}

type Run<A> = (input: object) => Promise<A>

const settled = ({ verdict }: PushRecord): boolean => verdict._tag !== "Waiting" && verdict._tag !== "Running"

/** Starts deploys, follows them and asks for verdicts. */
export class DeployClient {
  readonly #client: Client
  readonly #taskQueue: string

  constructor(client: Client, options: { readonly taskQueue?: string } = {}) {
    this.#client = client
    this.#taskQueue = options.taskQueue ?? queues.k8sNative
  }

  /**
   * Hands a push to its service, whose workflow is started where none runs. Safe to repeat. When it returns, the push is
   * stored. `deadlineMs` bounds the call (10 s when absent).
   */
  async submit(
    target: ServiceTarget,
    push: Omit<Push, "version">,
    options: { readonly deadlineMs?: number } = {}
  ): Promise<void> {
    const input: ServiceInput = { version: contractVersion, target }
    const message: Push = { ...push, version: contractVersion }
    await this.#client.withDeadline(Date.now() + (options.deadlineMs ?? 10_000), () =>
      this.#client.workflow.signalWithStart(workflows.service, {
        workflowId: workflowIds.service(target),
        taskQueue: this.#taskQueue,
        args: [input],
        signal: signals.push,
        signalArgs: [message]
      })
    )
  }

  /** What became of a push; undefined where it is not known (it came never, or too long ago). */
  async verdict(target: ServiceTarget, query: PushQuery): Promise<PushRecord | undefined> {
    return (await this.#ask<PushRecord | null>(target, queries.verdict, query)) ?? undefined
  }

  /** The last pushes of a service and what became of them, newest last. */
  async history(target: ServiceTarget): Promise<ReadonlyArray<PushRecord>> {
    return (await this.#ask<ReadonlyArray<PushRecord>>(target, queries.history)) ?? []
  }

  /** Where the service's running deploy stands; undefined where none runs. */
  async progress(target: ServiceTarget): Promise<Progress | undefined> {
    const running = await this.#ask<Progress | null>(target, queries.progress)
    if (running === undefined || running === null) return undefined
    const deploy = this.#client.workflow.getHandle(workflowIds.deploy(target, running.generation))
    try {
      return await deploy.query<Progress>(queries.progress)
    } catch (error) {
      // Its child is not started yet.
      if (error instanceof WorkflowNotFoundError) return running
      throw error
    }
  }

  /** Yields at each change until the push has its verdict. */
  async *follow(
    target: ServiceTarget,
    query: PushQuery,
    options: FollowOptions = {}
  ): AsyncGenerator<Followed> {
    let last = ""
    for (;;) {
      options.signal?.throwIfAborted()
      const record = await this.verdict(target, query)
      if (record !== undefined) {
        const running = record.verdict._tag === "Running" ? await this.progress(target) : undefined
        const progress = running?.generation === record.generation ? running : undefined
        const followed = { record, ...(progress === undefined ? {} : { progress }) }
        const now = JSON.stringify(followed)
        if (now !== last) yield followed
        last = now
        if (settled(record)) return
      }
      await setTimeout(options.everyMs ?? 500, undefined, { signal: options.signal })
    }
  }

  /** Deploys by itself, outside of the service's order; the cluster's fence still lets no older one overwrite a newer. */
  async startDeploy(request: DeployRequest): Promise<RunningDeploy> {
    const target = { owner: request.owner, service: request.service }
    const workflowId = workflowIds.deploy(target, request.generation)
    const input: DeployInput = { version: contractVersion, request }
    const handle = await this.#follow<DeployOutcome>(workflows.deploy, workflowId, input)
    return {
      workflowId,
      progress: () => handle.query<Progress>(queries.progress),
      outcome: () => typed(handle.result()),
      cancel: async () => {
        await handle.cancel()
      }
    }
  }

  /** Returns to the newest receipt whose commit begins with `commit`, without one to the newest earlier image. */
  async rollback(target: ServiceTarget, commit?: string): Promise<Receipt> {
    const generation = Date.now()
    const workflowId = workflowIds.rollback(target, generation)
    const { receipt } = await this.#execute<{ readonly receipt: Receipt }>(workflows.rollback, workflowId, {
      target,
      generation,
      ...(commit === undefined ? {} : { commit })
    })
    return receipt
  }

  /** Returns when nothing of the service is left. */
  deleteService(target: ServiceTarget): Promise<void> {
    return this.#execute(workflows.deleteService, workflowIds.deleteService(target), { target })
  }

  /** Starts the deletion, or leaves the one that runs; does not wait for its end. */
  async beginDeletion(target: ServiceTarget): Promise<void> {
    const input: DeleteServiceInput = { version: contractVersion, target }
    await this.#follow<void>(workflows.deleteService, workflowIds.deleteService(target), input)
  }

  /** Refused while a service is in it. */
  deleteProject(owner: Owner): Promise<void> {
    return this.#execute(workflows.deleteProject, workflowIds.deleteProject(owner), { owner })
  }

  /** Returns when the host is served with its certificate. */
  addDomain(target: ServiceTarget, host: string): Promise<DomainStatus> {
    return this.#execute(workflows.addDomain, workflowIds.domain(target, host), { target, host })
  }

  removeDomain(target: ServiceTarget, host: string): Promise<void> {
    return this.#execute(workflows.removeDomain, workflowIds.domain(target, host), { target, host })
  }

  async #ask<A>(
    target: ServiceTarget,
    query: string,
    ...args: ReadonlyArray<unknown>
  ): Promise<A | undefined> {
    try {
      return await this.#client.workflow
        .getHandle(workflowIds.service(target))
        .query<A, Array<unknown>>(query, ...args)
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined
      throw error
    }
  }

  async #execute<A>(type: string, workflowId: string, input: object): Promise<A> {
    const handle = await this.#follow<A>(type, workflowId, { version: contractVersion, ...input })
    return typed(handle.result())
  }

  /** Starts a workflow, or follows the same one that runs. Another type under its id (add and remove) is ended first. */
  async #follow<A>(type: string, workflowId: string, input: object): Promise<WorkflowHandle<Run<A>>> {
    for (;;) {
      try {
        return await this.#client.workflow.start<Run<A>>(type, {
          workflowId,
          taskQueue: this.#taskQueue,
          args: [input]
        })
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
        const running = this.#client.workflow.getHandle<Run<A>>(workflowId)
        if ((await running.describe()).type === type) return running
        await running.cancel()
        await running.result().catch(() => undefined)
      }
    }
  }
}
