/** Loaded by Temporal's SDK by its path, also into the workflow sandbox: puts a failure's message and stack into a payload. */
import { DefaultFailureConverter } from "@temporalio/common"

/** Encrypts messages and stack traces of failures with everything else: Temporal finds it by this name. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true })
