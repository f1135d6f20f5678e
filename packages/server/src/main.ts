#!/usr/bin/env node
/** `deployer-server`: takes the region's webhooks. Configured by its environment: see Settings.ts. */
import { main } from "./Process.ts"

await main()
