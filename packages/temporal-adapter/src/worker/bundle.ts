#!/usr/bin/env node
/**
 * Writes the workflow bundle: `node bundle.ts FILE`. The image of deployer-worker has one, so that a worker starts quicker, and needs
 * no compiler, which would want to write into the image's file system.
 */
import { writeFileSync } from "node:fs"
import { makeBundle } from "./WorkflowBundle.ts"

const [file] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write("usage: bundle.ts FILE\n")
  process.exitCode = 2
} else {
  writeFileSync(file, (await makeBundle()).code)
}
