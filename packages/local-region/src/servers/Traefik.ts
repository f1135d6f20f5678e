/** Traefik beside the cluster: it reads Ingresses through the API and connects to the pods' own addresses. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { ingressClass } from "../ClusterObjects.ts"
import * as Health from "../Health.ts"
import * as Network from "../Network.ts"
import * as Server from "../Server.ts"
import { Supervision } from "../Supervision.ts"
import { requestArguments, unrouted } from "./Ingress.ts"

const internal = "127.0.0.1:8090"

export const start = Effect.fn("Traefik.start")(function* () {
  const fs = yield* FileSystem.FileSystem
  const { folder, program } = yield* Supervision
  const file = join(folder.configuration, "traefik.yaml")
  // JSON is YAML.
  yield* fs.writeFileString(file, JSON.stringify(unrouted, undefined, 2))
  yield* Server.start({
    name: "traefik",
    command: yield* program("traefik", "traefik"),
    args: [
      "--global.checknewversion=false",
      "--log.level=INFO",
      "--ping=true",
      `--entrypoints.traefik.address=${internal}`,
      `--entrypoints.web.address=:${Network.guestPorts.http}`,
      `--entrypoints.websecure.address=:${Network.guestPorts.https}`,
      // As in Traefik's Helm chart.
      "--entrypoints.websecure.http.tls=true",
      ...requestArguments,
      `--providers.file.filename=${file}`,
      "--providers.file.watch=false",
      "--providers.providersthrottleduration=200ms",
      "--providers.kubernetesingress=true",
      `--providers.kubernetesingress.ingressclass=${ingressClass}`,
      "--providers.kubernetesingress.allowemptyservices=true"
    ],
    env: { KUBECONFIG: join(folder.configuration, "traefik.kubeconfig") },
    healthy: Health.http(`http://${internal}/ping`)
  })
})
