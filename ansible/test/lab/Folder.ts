/** A folder of a test's own, that goes with the scope. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

export const temporary = (prefix: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix }))
