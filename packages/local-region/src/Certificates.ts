/** The cluster's certificates, made once by openssl in the region's folder. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Network from "./Network.ts"
import { run } from "./Command.ts"

interface Identity {
  readonly name: string
  /** X.509 subject: the user and its groups, as the API server reads them. */
  readonly subject: string
  readonly addresses?: ReadonlyArray<string>
}

export const nodeName = "local"

const identities: ReadonlyArray<Identity> = [
  {
    name: "apiserver",
    subject: "/O=system:masters/CN=kube-apiserver",
    addresses: [
      "DNS:localhost",
      "DNS:kubernetes",
      "DNS:kubernetes.default.svc",
      "IP:127.0.0.1",
      `IP:${Network.slirp.guest}`,
      `IP:${Network.pods.node}`,
      `IP:${Network.services.api}`
    ]
  },
  { name: "admin", subject: "/O=system:masters/CN=admin" },
  { name: "controller-manager", subject: "/CN=system:kube-controller-manager" },
  { name: "scheduler", subject: "/CN=system:kube-scheduler" },
  { name: "proxy", subject: "/CN=system:kube-proxy" },
  { name: "dns", subject: "/CN=system:coredns" },
  { name: "traefik", subject: "/CN=system:traefik" },
  {
    name: "registry",
    subject: "/CN=registry",
    addresses: [`DNS:${Network.registryName.split(":")[0]}`, `IP:${Network.builds.linkAddress}`]
  },
  { name: "buildkit", subject: "/CN=buildkit" },
  { name: "acme", subject: "/CN=acme", addresses: ["DNS:localhost", "IP:127.0.0.1"] },
  {
    name: "kubelet",
    subject: `/O=system:nodes/CN=system:node:${nodeName}`,
    addresses: [`DNS:${nodeName}`, `IP:${Network.pods.node}`]
  }
]

const days = "3650"

/** Makes what is missing. A key is written before its certificate, so a half-made pair is made anew. */
export const ensure = Effect.fn("Certificates.ensure")(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
  const at = (name: string) => join(folder, name)
  const key = (name: string) =>
    run("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at(`${name}.key`)])
  if (!(yield* fs.exists(at("ca.crt")))) {
    yield* key("ca")
    yield* run("openssl", [
      ...["req", "-x509", "-new", "-key", at("ca.key"), "-subj", "/CN=mcpdeploy-local", "-days", days],
      ...["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
      ...["-out", at("ca.crt.part")]
    ])
    yield* fs.rename(at("ca.crt.part"), at("ca.crt"))
  }
  if (!(yield* fs.exists(at("service-account.pub")))) {
    yield* key("service-account")
    yield* run("openssl", [
      ...["pkey", "-in", at("service-account.key"), "-pubout", "-out", at("service-account.pub")]
    ])
  }
  yield* Effect.forEach(
    identities,
    Effect.fnUntraced(function* ({ name, subject, addresses }) {
      if (yield* fs.exists(at(`${name}.crt`))) return
      const extensions = [
        "basicConstraints=CA:FALSE",
        "extendedKeyUsage=clientAuth,serverAuth",
        ...(addresses === undefined ? [] : [`subjectAltName=${addresses.join(",")}`])
      ]
      yield* fs.writeFileString(at(`${name}.ext`), extensions.join("\n"))
      yield* key(name)
      yield* run("openssl", [
        "req",
        "-new",
        "-key",
        at(`${name}.key`),
        "-subj",
        subject,
        "-out",
        at(`${name}.csr`)
      ])
      yield* run("openssl", [
        ...["x509", "-req", "-in", at(`${name}.csr`), "-CA", at("ca.crt"), "-CAkey", at("ca.key")],
        ...["-set_serial", `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString("hex")}`],
        ...["-days", days, "-extfile", at(`${name}.ext`), "-out", at(`${name}.crt.part`)]
      ])
      yield* fs.rename(at(`${name}.crt.part`), at(`${name}.crt`))
    }),
    { concurrency: 4, discard: true }
  )
})

/** A kubeconfig for one of the identities, with the certificates in it, so that the file works wherever it is copied. */
export const kubeconfig = Effect.fn("Certificates.kubeconfig")(function* (
  folder: string,
  name: string,
  server: string
) {
  const fs = yield* FileSystem.FileSystem
  const inline = (file: string) =>
    Effect.map(fs.readFile(join(folder, file)), (bytes) => Buffer.from(bytes).toString("base64"))
  return JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "mcpdeploy-local",
          cluster: { server, "certificate-authority-data": yield* inline("ca.crt") }
        }
      ],
      users: [
        {
          name,
          user: {
            "client-certificate-data": yield* inline(`${name}.crt`),
            "client-key-data": yield* inline(`${name}.key`)
          }
        }
      ],
      contexts: [{ name: "mcpdeploy-local", context: { cluster: "mcpdeploy-local", user: name } }],
      "current-context": "mcpdeploy-local"
    },
    undefined,
    2
  )
})
