/** A git repository of a tenant, in a folder that goes when the scope closes. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"

export interface Repository {
  readonly path: string
}

/** `links` are symlinks: name to what it points to. */
export const repository = (
  files: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>> = {}
) =>
  Effect.acquireRelease(
    Effect.sync((): Repository => {
      const path = folderWith(files, links)
      const git = (...args: ReadonlyArray<string>) =>
        execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@localhost", ...args], { cwd: path })
      git("init", "-q", "-b", "main")
      git("add", "-A")
      git("commit", "-q", "-m", "attack")
      return { path }
    }),
    ({ path }) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )

export const folderWith = (
  files: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>> = {}
): string => {
  const path = mkdtempSync(join(tmpdir(), "mcpdeploy-attack-"))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), text)
  }
  for (const [name, to] of Object.entries(links)) symlinkSync(to, join(path, name))
  return path
}
