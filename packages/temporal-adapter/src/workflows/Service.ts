/**
 * `service`: one for each service, for as long as pushes come. Runs one deploy at a time, the newest wins.
 *
 * Each deploy is a child workflow, not a scope of this one: it has an id by which it is found and followed, its events do
 * not grow this history, and its end is an event, so that "the older is cancelled and seen ended" is what the history
 * says (WAIT_CANCELLATION_COMPLETED: the next begins only after it).
 */
import {
  contractVersion,
  type DeployInput,
  type DeployOutcome,
  type Progress,
  type Push,
  type PushQuery,
  type PushRecord,
  queries,
  type ServiceInput,
  signals,
  type Verdict,
  workflowIds,
  workflows
} from "@mcpdeploy/temporal-contract/contract"
import { failureOf } from "@mcpdeploy/temporal-contract/failure"
import {
  CancellationScope,
  ChildWorkflowCancellationType,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  ParentClosePolicy,
  setHandler,
  workflowInfo
} from "@temporalio/workflow"
import { checkInput } from "./Failures.ts"
import { type DeployPush, fitting, Ledger } from "./Ledger.ts"

/** A service without a push for this long ends; the next push starts it anew. */
const idle = "7 days"
/** Events after which the next run takes over. The server stops a workflow at 10,000 signals. */
const longHistory = 2000

export async function service(input: ServiceInput): Promise<ReadonlyArray<PushRecord>> {
  checkInput(input, [input?.target?.owner])
  const ledger = new Ledger(input.carried)
  const retiring: Array<string> = []
  let running: Progress | null = null

  setHandler(defineSignal<[Push]>(signals.push), (push) => ledger.accept(push))
  setHandler(defineSignal<[string]>(signals.retire), (replyTo) => {
    ledger.retire()
    retiring.push(replyTo)
  })
  setHandler(
    defineQuery<PushRecord | null, [PushQuery]>(queries.verdict),
    (query) => ledger.find(query) ?? null
  )
  setHandler(defineQuery<ReadonlyArray<PushRecord>>(queries.history), () => fitting(ledger.records))
  setHandler(defineQuery<Progress | null>(queries.progress), () => running)

  const run = async (push: DeployPush): Promise<Verdict> => {
    const { generation } = push
    const args: [DeployInput] = [
      { version: contractVersion, request: { ...push.action.request, generation } }
    ]
    running = { generation, step: "clone", since: new Date().toISOString(), finished: [] }
    const scope = new CancellationScope()
    let ended = false
    const verdict = scope
      .run(() =>
        executeChild<(input: DeployInput) => Promise<DeployOutcome>>(workflows.deploy, {
          workflowId: workflowIds.deploy(input.target, generation),
          args,
          cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
          parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL
        })
      )
      .then(
        (outcome): Verdict => outcome,
        (error: unknown): Verdict =>
          isCancellation(error) && ledger.waiting !== undefined
            ? { _tag: "Superseded", by: ledger.waiting.generation }
            : { _tag: "Failed", failure: failureOf(error) }
      )
      .finally(() => {
        ended = true
        running = null
      })
    await condition(() => ended || ledger.waiting !== undefined || retiring.length > 0)
    if (!ended) scope.cancel()
    return verdict
  }

  const tooLong = () => workflowInfo().continueAsNewSuggested || workflowInfo().historyLength > longHistory

  for (;;) {
    const busy = await condition(() => ledger.waiting !== undefined || retiring.length > 0 || tooLong(), idle)
    if (!busy) return fitting(ledger.records)
    const push = retiring.length === 0 ? ledger.take() : undefined
    if (push !== undefined) ledger.settle(push.generation, await run(push))
    for (const replyTo of retiring.splice(0)) {
      await getExternalWorkflowHandle(replyTo)
        .signal(signals.retired)
        .catch((error: unknown) => {
          if (isCancellation(error)) throw error
          // Whoever asked has ended meanwhile: there is nobody to tell.
        })
    }
    if (tooLong()) {
      await continueAsNew<typeof service>({
        version: contractVersion,
        target: input.target,
        carried: {
          records: fitting(ledger.records),
          waiting: ledger.waiting === undefined ? [] : [ledger.waiting]
        }
      })
    }
  }
}
