/** One push as GitHub sends it (the payload of its documentation), and its secret on both sides. */
import { createHmac } from "node:crypto"
import { readFileSync } from "node:fs"

export const repository = "codertocat/hello-world"
export const master = "a-master-of-the-benchmark-0123456789"
/** What deployer-server derives for the repository: the peer is given it as it is. */
export const repositorySecret = createHmac("sha256", master)
  .update(`mcpdeploy github webhook ${repository}`)
  .digest("hex")

const fixture = new URL("../../../packages/server/test/fixtures/github-branch-created.json", import.meta.url)
const body = readFileSync(fixture)
const signature = createHmac("sha256", repositorySecret).update(body).digest("hex")
const noId = "00000000-0000-0000-0000-000000000000"

const head = [
  "POST /webhooks/github HTTP/1.1",
  "Host: hooks.example",
  "User-Agent: GitHub-Hookshot/044aadd",
  "Accept: */*",
  "Content-Type: application/json",
  `Content-Length: ${body.length}`,
  "X-GitHub-Event: push",
  `X-GitHub-Delivery: ${noId}`,
  "X-GitHub-Hook-ID: 292430182",
  "X-GitHub-Hook-Installation-Target-ID: 79929171",
  "X-GitHub-Hook-Installation-Target-Type: repository",
  "X-Hub-Signature: sha1=7d38cdd689735b008b3c702edd92eea23791c5f6",
  `X-Hub-Signature-256: sha256=${signature}`
].join("\r\n")

const message = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body])
const idAt = message.indexOf(noId)

export const bodyBytes = body.length

/** A request with a delivery id of its own. */
export const delivery = (count: number): Buffer => {
  const own = Buffer.from(message)
  own.write(count.toString(16).padStart(8, "0"), idAt)
  return own
}
