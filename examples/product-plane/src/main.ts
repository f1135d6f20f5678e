/**
 * The product plane's worker on the queue `default`.
 *
 *     TEMPORAL_ADDRESS=127.0.0.1:7233 MCPDEPLOY_PAYLOAD_KEYS=k1:… node examples/product-plane/src/main.ts
 */
import { dataConverter, parsePayloadKeys } from "@mcpdeploy/temporal-contract/codec"
import { queues } from "@mcpdeploy/temporal-contract/contract"
import { NativeConnection, Worker } from "@temporalio/worker"

const keys = process.env["MCPDEPLOY_PAYLOAD_KEYS"]
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address: process.env["TEMPORAL_ADDRESS"] ?? "127.0.0.1:7233" }),
  taskQueue: queues.product,
  workflowsPath: `${import.meta.dirname}/workflows.ts`,
  // The same keys as the deployer-worker's, or none on both sides.
  dataConverter: dataConverter(keys === undefined ? undefined : parsePayloadKeys(keys))
})
await worker.run()
