/** Where the workflows are, for `workflowsPath` of a worker, of a bundle and of a replay. */
import { extname, join } from "node:path"

/** The module of all workflows, for a worker's bundler. */
export const workflowsPath = join(import.meta.dirname, `index${extname(import.meta.filename)}`)
