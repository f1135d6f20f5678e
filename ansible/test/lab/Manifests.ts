/** What the roles hand to k3s, rendered by the roles themselves with the values of eu-central-1. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { run } from "@mcpdeploy/local-region/Command"
import { parseAllDocuments } from "yaml"
import * as Ansible from "./Ansible.ts"
import { temporary } from "./Folder.ts"
import * as Lab from "./Lab.ts"

export const inventory = fileURLToPath(new URL("../../../regions/eu-central-1/inventory", import.meta.url))

/** An object of Kubernetes; what else it holds is read by who knows its kind. */
export const Manifest = Schema.StructWithRest(
  Schema.Struct({
    apiVersion: Schema.String,
    kind: Schema.String,
    metadata: Schema.Struct({
      name: Schema.String,
      namespace: Schema.optionalKey(Schema.String),
      labels: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown)))
    })
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)
export type Manifest = typeof Manifest.Type

/** The objects of a file; fails where it is no YAML, or one of them no object. */
export const manifestsOf = Effect.fn("Manifests.manifestsOf")(function* (text: string) {
  const documents = yield* Effect.forEach(parseAllDocuments(text), (document) =>
    document.errors[0] === undefined ? Effect.succeed(document.toJS()) : Effect.fail(document.errors[0])
  )
  return yield* Schema.decodeUnknownEffect(Schema.Array(Manifest))(
    documents.filter((document) => document !== null)
  )
})

const HelmChart = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({
    repo: Schema.String,
    chart: Schema.String,
    version: Schema.String,
    targetNamespace: Schema.String,
    failurePolicy: Schema.Literals(["abort", "reinstall"]),
    valuesContent: Schema.String
  })
})

/** What k3s' helm controller installs: fails for a key that it does not know. */
export const helmCharts = (manifests: ReadonlyArray<Manifest>) =>
  Schema.decodeUnknownEffect(Schema.Array(HelmChart))(
    manifests
      .filter(({ kind }) => kind === "HelmChart")
      .map(({ metadata, spec }) => ({ metadata: { name: metadata.name }, spec })),
    { onExcessProperty: "error" }
  )

/** The roles' files, by name. `variables` come before the inventory's. Needs root. */
export const rendered = Effect.fn("Manifests.rendered")(function* (
  variables: Readonly<Record<string, unknown>>
) {
  const bin = yield* Ansible.installed
  const folder = yield* temporary("mcpdeploy-manifests-")
  // In the lab's mounts k3s' folder is another one.
  const lab = yield* Lab.make
  const own = "/var/lib/rancher/k3s/server/manifests"
  yield* lab.sh(
    "lab",
    `mount -t tmpfs tmpfs /var/lib && mkdir -p ${own} /var/lib/gitea && echo token > /var/lib/gitea/deployer-token`
  )
  yield* run(
    "nsenter",
    lab.enter("lab", join(bin, "ansible-playbook"), [
      ...["--inventory", join(inventory, "hosts.yml"), "--limit", "ctrl-1", "--connection", "local"],
      ...["--extra-vars", `@${join(inventory, "group_vars/vault.example.yml")}`],
      ...["--extra-vars", JSON.stringify({ ansible_become: false, ...variables })],
      ...["--tags", "gvisor,traefik,cert_manager,observability,deployer,k3s_manifests"],
      ...[join(Ansible.folder, "playbooks/site.yml"), join(Ansible.folder, "test/manifests/k3s.yml")]
    ]),
    { env: { ...Ansible.environment(bin), ANSIBLE_HOME: join(folder, "ansible") } }
  )
  yield* lab.sh("lab", `cp -r ${own} ${folder}/`)
  const files = readdirSync(join(folder, "manifests")).toSorted()
  return new Map(files.map((file) => [file, readFileSync(join(folder, "manifests", file), "utf8")]))
}, Effect.scoped)
