/** Where the workflows are, for `workflowsPath` of a worker, of a bundle and of a replay. */
import { extname, join } from "node:path"

export const workflowsPath = join(import.meta.dirname, `index${extname(import.meta.filename)}`)
