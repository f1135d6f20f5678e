import { assert, it } from "@effect/vitest"
import { join } from "node:path"
import { publicApi, undocumented } from "../../PublicApi.ts"
import { exportedModules, packages, root } from "../../Workspace.ts"

it("everything that a published package exports has a docstring", () => {
  const missing = packages
    .filter(({ manifest }) => manifest.private !== true)
    .flatMap((found) =>
      exportedModules(found).flatMap((module) => {
        const file = `${found.folder}/src/${module}.ts`
        return undocumented(publicApi(join(root, file))).map((name) => `${name} of ${file}`)
      })
    )
  assert.deepStrictEqual(missing, [])
})
