import { assert, describe, it } from "@effect/vitest"
import { resolveFiles } from "../../src/buildkit/Dockerfile.ts"
import { DockerfilePath } from "@mcpdeploy/core/domain/Source"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { folder } from "./daemon.ts"

describe("the Dockerfile of a build", () => {
  it.live("may lie anywhere in the repository, also by links, and nowhere else", () =>
    Effect.gen(function* () {
      const text = "FROM scratch\n"
      const outside = yield* folder({ Dockerfile: text })
      const repository = yield* folder({
        Dockerfile: text,
        "docker/web.Dockerfile": text,
        "apps/web/dockerfile": text,
        "apps/api/x": ""
      })
      const context = `${repository}/apps/web`
      fs.symlinkSync("apps/web", `${repository}/linked`)
      fs.symlinkSync("../../docker", `${context}/docker`)
      fs.symlinkSync("../../docker/web.Dockerfile", `${context}/Web`)
      fs.symlinkSync("../../../outside", `${context}/climbs`)
      fs.symlinkSync(`${outside}/Dockerfile`, `${context}/absolute`)
      fs.symlinkSync(outside, `${context}/folder`)
      const resolve = (dockerfile: string, root = context, within: string | undefined = repository) =>
        resolveFiles({
          context: root,
          dockerfile: DockerfilePath.make(dockerfile),
          ...(within === undefined ? {} : { repository: within })
        })
      for (const [dockerfile, place] of [
        ["Dockerfile", "apps/web/Dockerfile"],
        ["../../Dockerfile", "Dockerfile"],
        ["../../docker/web.Dockerfile", "docker/web.Dockerfile"],
        ["docker/web.Dockerfile", "apps/web/docker/web.Dockerfile"],
        ["Web", "apps/web/Web"]
      ] as const) {
        assert.deepStrictEqual(yield* resolve(dockerfile), { context, repository, dockerfile: place })
      }
      assert.deepStrictEqual(yield* resolve("../../Dockerfile", `${repository}/linked`), {
        context,
        repository,
        dockerfile: "Dockerfile"
      })
      for (const [dockerfile, tag] of [
        ["../../../Dockerfile", "DockerfileEscapes"],
        [`../../..${outside}/Dockerfile`, "DockerfileEscapes"],
        ["absolute", "DockerfileEscapes"],
        ["folder/Dockerfile", "DockerfileEscapes"],
        ["climbs", "DockerfileNotFound"],
        ["../api/Dockerfile", "DockerfileNotFound"],
        ["../api", "DockerfileNotFound"]
      ] as const) {
        const error = yield* Effect.flip(resolve(dockerfile))
        assert.strictEqual(error._tag, tag, `${dockerfile}: ${error.message}`)
      }
      const alone = yield* Effect.flip(resolve("Web", context, context))
      assert.strictEqual(alone._tag, "DockerfileEscapes")
    }).pipe(Effect.scoped)
  )
})
