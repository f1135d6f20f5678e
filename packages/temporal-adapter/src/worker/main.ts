#!/usr/bin/env node
/** `deployer-worker`: the cluster's side of the pipeline. Configured by its environment: see Settings.ts. */
import { main } from "./Process.ts"

await main()
