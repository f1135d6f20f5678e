/** What the roles and playbooks read, a region's directory says: eu-central-1, and one that `mcpdeploy region new` laid out. */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { parse, parseAllDocuments } from "yaml"

const project = fileURLToPath(new URL("../..", import.meta.url))

const filesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(yml|j2)$/.test(name))
    .map((name) => readFileSync(join(folder, name), "utf8"))

const code = [
  ...filesIn(join(project, "ansible/roles")),
  ...filesIn(join(project, "ansible/playbooks"))
].join("\n")

const namesIn = (pattern: RegExp): ReadonlySet<string> =>
  new Set([...code.matchAll(pattern)].flatMap(({ 1: name }) => name ?? []))
const read = namesIn(/\b((?:region|vault)_[a-z0-9_]+)\b(?!:)/g)
const needed = namesIn(/\b((?:region|vault)_[a-z0-9_]+)\b(?!:)(?! *\| *default\()/g)
/** `mcpdeploy region apply` writes these. */
const written = new Set(["region_web_sources_ipv4", "region_web_sources_ipv6"])

const yamlOf = (path: string): Record<string, unknown> => parse(readFileSync(path, "utf8"))

const temporary = mkdtempSync(join(tmpdir(), "mcpdeploy-variables-"))
afterAll(() => rmSync(temporary, { recursive: true }))
beforeAll(() => {
  cpSync(join(project, "regions"), temporary, { recursive: true })
  execFileSync(
    process.execPath,
    [
      join(project, "packages/cli/src/main.ts"),
      ...["region", "new", "us-east-1", "--provider", "hetzner", "--location", "hel1", "--regions", temporary]
    ],
    { stdio: "pipe" }
  )
})

describe.each(["eu-central-1", "us-east-1"])("the directory of %s", (name) => {
  const directory = join(temporary, name)
  const said = () => {
    const vars = join(directory, "inventory/group_vars")
    const files = ["all/main.yml", "vault.example.yml", "ops.yml", "build_pool.yml"]
    return new Map(files.map((file) => [file, yamlOf(join(vars, file))]))
  }

  it("says every variable that a role or playbook reads", () => {
    const all = new Set([...said().values()].flatMap((variables) => Object.keys(variables)))
    const lacking = [...needed].filter((variable) => !all.has(variable) && !written.has(variable))
    assert.deepStrictEqual(lacking.toSorted(), [])
    assert.isAbove(needed.size, 30)
  })

  it("asks for no secret that nothing reads", () => {
    const secrets = Object.keys(said().get("vault.example.yml") ?? {})
    assert.deepStrictEqual(
      secrets.filter((secret) => !read.has(secret)),
      []
    )
  })

  it("has every file that a role looks up", () => {
    const files = [...code.matchAll(/region_directory ~ '(\/[^'*]+)'/g)].flatMap(({ 1: file }) => file ?? [])
    assert.isAbove(files.length, 5)
    for (const file of files) assert.isTrue(existsSync(join(directory, file)), file)
  })

  it("gives deployer-server the address that Gitea's node knows", () => {
    const documents = parseAllDocuments(
      readFileSync(join(directory, "k8s/deployer/server.yaml"), "utf8")
    ).map((document) => document.toJS())
    const service = documents.find(({ kind }) => kind === "Service")
    assert.strictEqual(service.spec.clusterIP, said().get("all/main.yml")?.["region_webhook_address"])
  })

  it("tells deployer-server, which asks Gitea, where it is", () => {
    const manifest = readFileSync(join(directory, "k8s/deployer/server.yaml"), "utf8")
    assert.include(manifest, "MCPDEPLOY_GITEA_TOKEN")
    const region = JSON.parse(readFileSync(join(directory, "region.json"), "utf8"))
    assert.strictEqual(region.gitea.url, "https://gitea.internal:3000")
    assert.strictEqual(new URL(region.registry.endpoint).protocol, "https:")
    // Whom git asks about it, and Node.
    const authority: string = region.git.privateCaFile
    assert.isTrue(region.git.privateHosts.includes(new URL(region.gitea.url).host))
    for (const file of ["server.yaml", "worker.yaml", "registry-gc.yaml"])
      assert.include(
        readFileSync(join(directory, "k8s/deployer", file), "utf8"),
        `{ name: NODE_EXTRA_CA_CERTS, value: ${authority} }`
      )
  })

  it("names no Secret or ConfigMap that the role deployer does not make", () => {
    const role = readFileSync(join(project, "ansible/roles/deployer/templates/deployer.yaml.j2"), "utf8")
    const manifests = readdirSync(join(directory, "k8s/deployer"))
      .map((file) => readFileSync(join(directory, "k8s/deployer", file), "utf8"))
      .join("\n")
    const named = [
      ...manifests.matchAll(/(?:secretName: |secretRef: \{ name: |configMap: \{ name: )([a-z-]+)/g)
    ].flatMap(({ 1: one }) => one ?? [])
    assert.isAbove(named.length, 5)
    for (const one of named) assert.include(role, `metadata: { name: ${one}, namespace: dp-system }`)
  })
})
