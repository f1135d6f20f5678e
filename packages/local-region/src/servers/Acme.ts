/**
 * Certificates as in a real region, with no internet: Pebble is the ACME authority, cert-manager asks it, and a name server
 * stands for the public DNS. HTTP-01 really passes through Traefik. Zones are files in a folder, read again every second.
 */
import { request } from "node:https"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Certificates from "../Certificates.ts"
import { ingressClass, runtimeClass } from "../ClusterObjects.ts"
import { run } from "../Command.ts"
import type { DataFolder } from "../DataFolder.ts"
import * as Health from "../Health.ts"
import * as KubeApi from "../KubeApi.ts"
import { RegionEnded } from "../LocalRegionError.ts"
import * as Network from "../Network.ts"
import * as ProgramImage from "../images/ProgramImage.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import type { GoTool } from "../Tools.ts"

export const acmeTool: GoTool = {
  name: "acme",
  version: "1.21.2",
  module: {
    folder: "acme",
    patched: [
      {
        module: "github.com/cert-manager/cert-manager",
        version: "v1.21.2",
        sum: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        patch: "cert-manager.patch",
        remove: []
      }
    ]
  },
  packages: {
    "cert-manager": "./cmd/cert-manager",
    acmesolver: "./cmd/acmesolver",
    nameserver: "./cmd/nameserver",
    pebble: "github.com/letsencrypt/pebble/v2/cmd/pebble"
  },
  seconds: 50
}

/** As in a real region, so that the same manifests work. */
export const issuer = "letsencrypt-prod"
/** What domains are aliases of; its zone is there from the beginning. */
export const cnameTarget = "cname.region.example"
/** Traefik's address, as everything inside the bundle reaches it. */
export const loadBalancer = Network.pods.node

/** Zone files, each named `db.<zone>`. */
export const zonesFolder = (folder: DataFolder): string => join(folder.configuration, "zones")
/** The root that signs the certificates: another one after each start. PEM. */
export const rootFile = (folder: DataFolder): string => join(folder.configuration, "acme-root.pem")

const directory = "127.0.0.1:14000"
const management = "127.0.0.1:15000"
const nameServer = `127.0.0.1:${Network.guestPorts.dns}`

const failed = (error: { readonly message: string }) => new RegionEnded({ detail: error.message })

const corefile = (zones: string): string => `. {
  bind 127.0.0.1
  errors
  auto {
    directory ${zones} db\\.(.*) {1}
    reload 1s
  }
}
`

const regionZone = `$ORIGIN region.example.
$TTL 5
@ IN SOA ns hostmaster 1 60 60 60 5
@ IN NS ns
ns IN A 127.0.0.1
cname IN A ${loadBalancer}
`

/** What is in no other zone does not exist. Its file is `db..`, for the zone `.`. */
const rootZone = `$ORIGIN .
$TTL 5
@ IN SOA ns. hostmaster. 1 60 60 60 1
@ IN NS ns.
ns. IN A 127.0.0.1
`

const startNameServer = Effect.fn("Acme.startNameServer")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program, settings } = yield* Supervision
  const zones = zonesFolder(folder)
  yield* fs.makeDirectory(zones, { recursive: true })
  yield* fs.writeFileString(join(zones, "db.region.example"), regionZone)
  yield* fs.writeFileString(join(zones, "db.."), rootZone)
  const file = join(folder.configuration, "Corefile.public")
  yield* fs.writeFileString(file, corefile(zones))
  const command = yield* program(acmeTool.name, "nameserver")
  const args = ["-conf", file, "-dns.port"]
  yield* Server.start({
    name: "nameserver",
    command,
    args: [...args, String(Network.guestPorts.dns)],
    healthy: Health.accepts({ host: "127.0.0.1", port: Network.guestPorts.dns })
  })
  // slirp4netns forwards no UDP answers, so the machine has one of its own: the bundle's init is in its network.
  yield* Server.start({
    name: "nameserver-machine",
    onMachine: true,
    command,
    args: [...args, String(settings.ports.dns)],
    healthy: Effect.void
  })
})

/** RFC 8555, 6.1: a client without a name is refused. */
const headers = { "user-agent": "mcpdeploy" }

/** A GET of one of Pebble's own addresses. */
const ask = (folder: DataFolder, address: string, path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.flatMap(fs.readFileString(join(folder.certificates, "ca.crt")), (ca) =>
      Effect.callback<string, Health.NotHealthy>((resume) => {
        const sent = request(new URL(path, `https://${address}`), { ca, headers }, (response) => {
          let text = ""
          response.setEncoding("utf8")
          response.on("data", (chunk: string) => (text += chunk))
          response.on("end", () =>
            resume(
              response.statusCode === 200
                ? Effect.succeed(text)
                : Effect.fail(
                    new Health.NotHealthy({ detail: `${address}${path} answers ${response.statusCode}` })
                  )
            )
          )
        })
        sent.on("error", ({ message }) => resume(Effect.fail(new Health.NotHealthy({ detail: message }))))
        sent.end()
        return Effect.sync(() => sent.destroy())
      })
    )
  )

const startPebble = Effect.fn("Acme.startPebble")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const file = join(folder.configuration, "pebble.json")
  const configuration = {
    pebble: {
      listenAddress: directory,
      managementListenAddress: management,
      certificate: join(folder.certificates, "acme.crt"),
      privateKey: join(folder.certificates, "acme.key"),
      httpPort: Network.guestPorts.http,
      tlsPort: Network.guestPorts.https,
      ocspResponderURL: "",
      externalAccountBindingRequired: false
    }
  }
  yield* fs.writeFileString(file, JSON.stringify(configuration, undefined, 2))
  yield* Server.start({
    name: "pebble",
    command: yield* program(acmeTool.name, "pebble"),
    args: ["-config", file, "-dnsserver", nameServer],
    // By default it waits before each validation, refuses nonces and reuses validations at random, to try out clients.
    env: { PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0", PEBBLE_AUTHZREUSE: "0" },
    healthy: ask(folder, directory, "/dir").pipe(Effect.provideService(FileSystem.FileSystem, fs))
  })
  const root = yield* Effect.mapError(ask(folder, management, "/roots/0"), failed)
  yield* fs.writeFileString(rootFile(folder), root)
})

const solverImage = { repository: "mcpdeploy/acmesolver", tag: "1" }

const pushSolver = Effect.gen(function* () {
  const { program } = yield* Supervision
  yield* ProgramImage.push(`http://127.0.0.1:${Network.guestPorts.registry}`, {
    ...solverImage,
    program: yield* program(acmeTool.name, "acmesolver")
  })
})

const Definition = Schema.StructWithRest(
  Schema.Struct({
    apiVersion: Schema.String,
    kind: Schema.String,
    metadata: Schema.StructWithRest(Schema.Struct({ name: Schema.String }), [Schema.JsonObject])
  }),
  [Schema.JsonObject]
)
const decodeDefinition = Schema.decodeEffect(Schema.fromJsonString(Definition))

/** cert-manager's kinds, and the namespace of its account's key. */
const applyDefinitions = Effect.gen(function* () {
  const { folder, program } = yield* Supervision
  const output = yield* run(yield* program(acmeTool.name, "cert-manager"), ["-definitions"])
  const definitions = yield* Effect.forEach(output.trim().split("\n"), (line) => decodeDefinition(line))
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "cert-manager" } }
  yield* KubeApi.apply(folder.certificates, { collection: "/api/v1/namespaces", object: namespace })
  yield* Effect.forEach(
    definitions,
    (object) =>
      KubeApi.apply(folder.certificates, {
        collection: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        object
      }),
    { concurrency: "unbounded", discard: true }
  )
}).pipe(Effect.mapError(failed))

const applyIssuer = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder } = yield* Supervision
  const ca = yield* fs.readFile(join(folder.certificates, "ca.crt"))
  yield* KubeApi.applyWhenServed(folder.certificates, {
    collection: "/apis/cert-manager.io/v1/clusterissuers",
    object: {
      apiVersion: "cert-manager.io/v1",
      kind: "ClusterIssuer",
      metadata: { name: issuer },
      spec: {
        acme: {
          server: `https://${directory}/dir`,
          caBundle: Buffer.from(ca).toString("base64"),
          privateKeySecretRef: { name: `${issuer}-account` },
          solvers: [{ http01: { ingress: { ingressClassName: ingressClass, serviceType: "ClusterIP" } } }]
        }
      }
    }
  })
}).pipe(Effect.mapError(failed))

const startCertManager = Effect.fn("Acme.startCertManager")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const kubeconfig = join(folder.configuration, "cert-manager.kubeconfig")
  const server = `https://127.0.0.1:${Network.guestPorts.api}`
  yield* fs.writeFileString(kubeconfig, yield* Certificates.kubeconfig(folder.certificates, "admin", server))
  const health = "127.0.0.1:9403"
  yield* Server.start({
    name: "cert-manager",
    command: yield* program(acmeTool.name, "cert-manager"),
    args: [
      ...["-kubeconfig", kubeconfig, "-health-address", health, "-nameservers", nameServer],
      ...["-acmesolver-image", `${Network.registryName}/${solverImage.repository}:${solverImage.tag}`],
      ...["-acmesolver-runtime-class", runtimeClass]
    ],
    healthy: Health.http(`http://${health}/`)
  })
})

/** Pebble has forgotten the accounts of its last start, which an issuer that is there would go on using. */
const removeIssuer = Effect.gen(function* () {
  const { folder } = yield* Supervision
  yield* KubeApi.call(folder.certificates, {
    method: "DELETE",
    path: `/apis/cert-manager.io/v1/clusterissuers/${issuer}`
  }).pipe(
    Effect.asVoid,
    Effect.catch((error) => (error.status === 404 ? Effect.void : Effect.fail(failed(error))))
  )
})

/** Needs the cluster's objects and the registry. */
export const start = Effect.fn("Acme.start")(function* () {
  yield* Effect.all([startNameServer(), pushSolver, applyDefinitions], {
    concurrency: "unbounded",
    discard: true
  })
  yield* startPebble()
  yield* removeIssuer
  yield* applyIssuer
  yield* startCertManager()
})
