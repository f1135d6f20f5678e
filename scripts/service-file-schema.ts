/** Writes the JSON Schema of the service file, for editors: `node scripts/service-file-schema.ts`. */
import { writeFileSync } from "node:fs"
import { serviceFileJsonSchema } from "../packages/cli/src/ServiceFile.ts"

const path = new URL("../packages/cli/mcpdeploy.schema.json", import.meta.url)
writeFileSync(path, `${JSON.stringify(serviceFileJsonSchema, null, 2)}\n`)
