/** A host whose certificate an authority of one's own signs, as a region's Gitea. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import { join } from "node:path"
import { GitRef } from "@mcpdeploy/core/domain/Source"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { makeGitSource, repositoryAt, temporaryFolder } from "./setup.ts"

/** An authority, and a certificate of 127.0.0.1 that it has signed. */
const certificates = (folder: string) => {
  const make = (name: string, ...more: ReadonlyArray<string>) =>
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
        ...["-keyout", `${name}.key`, "-out", `${name}.crt`, "-subj", `/CN=${name}`, ...more]
      ],
      { cwd: folder, stdio: "ignore" }
    )
  make("authority")
  make("host", "-CA", "authority.crt", "-CAkey", "authority.key", "-addext", "subjectAltName=IP:127.0.0.1")
  return {
    authority: join(folder, "authority.crt"),
    key: readFileSync(join(folder, "host.key")),
    cert: readFileSync(join(folder, "host.crt"))
  }
}

describe("a git host with an authority of its own", () => {
  it.live("is trusted where it is named as private, and no other host is trusted by that", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { authority, cert, key } = certificates(folder)
      const server = createServer({ cert, key }, (_, response) => response.writeHead(404).end())
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      const host = yield* Effect.callback<string>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          resume(
            address === null || typeof address === "string"
              ? Effect.die("the server has no port")
              : Effect.succeed(`127.0.0.1:${address.port}`)
          )
        })
      })
      const reasonWith = (config: Partial<Parameters<typeof makeGitSource>[0]>) =>
        Effect.gen(function* () {
          const git = yield* makeGitSource({ cacheFolder: join(folder, "cache"), ...config })
          const error = yield* Effect.flip(
            git.resolve(repositoryAt(`https://${host}/shop.git`), GitRef.make("main"))
          )
          return error.reason._tag
        })
      assert.strictEqual(yield* reasonWith({ privateHosts: [host] }), "CertificateNotTrusted")
      assert.strictEqual(
        yield* reasonWith({ privateHosts: [host], privateCaFile: authority }),
        "RepositoryNotFound"
      )
      // `127.0.0.1` is port 443 of it.
      assert.strictEqual(
        yield* reasonWith({ privateHosts: ["127.0.0.1"], privateCaFile: authority }),
        "CertificateNotTrusted"
      )
    })
  )
})
