/** The worker's connection to Temporal. */
import { NativeConnection } from "@temporalio/worker"
import { connectWith } from "../settings/TemporalAccess.ts"
import type { TemporalSettings } from "../settings/TemporalSettings.ts"

/** A proven connection for workers; closed with the scope. */
export const connect = (settings: TemporalSettings) =>
  connectWith(settings, (connection) => NativeConnection.connect(connection))
