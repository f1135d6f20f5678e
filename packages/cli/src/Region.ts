/**
 * Which region a command talks to: the one whose file `--region` (or `MCPDEPLOY_REGION`) names, else the local one.
 *
 * What talks to BuildKit and Kubernetes is imported only when a command needs it, so that `--help` is quick and needs no
 * configuration.
 */
import * as Config from "effect/Config"
import * as Crypto from "node:crypto"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { GitMirror } from "@mcpdeploy/core/GitMirror"
import { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { SecretRef } from "@mcpdeploy/core/domain/Source"
import { SecretStore } from "@mcpdeploy/core/SecretStore"
import { dataFolder, defaultCacheFolder, defaultDataFolder } from "@mcpdeploy/local-region/DataFolder"
import { RegionEndpoints } from "@mcpdeploy/local-region/RegionState"
import { decodeRegionFile, type RegionFile } from "@mcpdeploy/provider-k3s/RegionFile"
import { join } from "node:path"
import { CommandFailed, exitCodes } from "./ExitCode.ts"
import { root, usage } from "./commands/Root.ts"

const decodeEndpoints = Schema.decodeUnknownEffect(Schema.fromJsonString(RegionEndpoints))

/** The folder of the local region. */
export const localFolder = Config.String("MCPDEPLOY_LOCAL_DATA").pipe(
  Config.withDefault(defaultDataFolder(process.env)),
  Effect.map(dataFolder)
)

/** Where the deployer-server of this machine takes Gitea's webhooks. */
const localWebhookUrl = Config.String("MCPDEPLOY_WEBHOOK_URL").pipe(
  Config.withDefault("http://127.0.0.1:8080/webhooks/gitea")
)

/** The local region, as if a region file described it. Repositories may be folders of this machine. */
const localRegion: Effect.Effect<RegionFile, CommandFailed, FileSystem.FileSystem> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* usage(localFolder)
  const text = yield* fs.readFileString(folder.region).pipe(
    Effect.mapError(
      () =>
        new CommandFailed({
          exitCode: exitCodes.unavailable,
          detail: "no local region is up: `mcpdeploy local up` starts one, `--region FILE` names another"
        })
    )
  )
  const { acme, buildkit, gitea, ingress, kubeconfig, registry } = yield* usage(decodeEndpoints(text))
  const domains =
    acme === undefined
      ? {}
      : {
          domains: {
            issuer: acme.issuer,
            cnameTarget: acme.cnameTarget,
            loadBalancerAddresses: [acme.loadBalancer],
            nameServers: [acme.nameServer],
            tlsEndpoint: new URL(ingress.https).host
          }
        }
  return {
    cluster: {
      kubeconfig,
      platformDomain: PlatformDomain.make("localhost"),
      ingressEndpoint: ingress.http,
      // Its kube-proxy is told to sync every 100 ms.
      serviceSyncMs: 200,
      ...domains
    },
    buildkit,
    registry: { endpoint: registry.endpoint },
    git: {
      allowFile: true,
      ...(gitea === undefined ? {} : { privateHosts: [new URL(gitea.url).host] })
    },
    ...(gitea === undefined
      ? {}
      : {
          gitea: {
            url: gitea.url,
            token: SecretRef.make(`file:${gitea.tokenFile}`),
            webhookUrl: yield* usage(localWebhookUrl),
            webhookSecret: SecretRef.make(`file:${gitea.webhookSecretFile}`)
          }
        })
  }
})

const regionFile = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { region } = yield* root
  return Option.isNone(region)
    ? yield* localRegion
    : yield* usage(Effect.flatMap(fs.readFileString(region.value), decodeRegionFile))
})

const secretStore = SecretStore.layer(process.env)

/** Keys the hash of build secrets; kept on this machine so that a build with secrets is found again. */
const buildSecretKey = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = defaultCacheFolder(process.env)
  const path = join(folder, "build-secret-key")
  yield* fs.makeDirectory(folder, { recursive: true })
  yield* fs
    .writeFileString(path, Crypto.randomBytes(32).toString("hex"), { flag: "wx", mode: 0o600 })
    .pipe(Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.void))
  return Redacted.make(yield* fs.readFileString(path))
})

/** Only the cluster: for commands that neither fetch nor build. */
export const clusterLayer = Layer.unwrap(
  Effect.gen(function* () {
    const { cluster } = yield* regionFile
    const [{ RegionConfig }, K3sCluster] = yield* Effect.promise(() =>
      Promise.all([
        import("@mcpdeploy/provider-k3s/RegionConfig"),
        import("@mcpdeploy/provider-k3s/K3sCluster")
      ])
    )
    return K3sCluster.layer(new RegionConfig(cluster))
  })
)

/** For commands about domains. */
export const domainLayer = Layer.unwrap(
  Effect.gen(function* () {
    const { cluster } = yield* regionFile
    const [{ RegionConfig }, K3sDomainManager] = yield* Effect.promise(() =>
      Promise.all([
        import("@mcpdeploy/provider-k3s/RegionConfig"),
        import("@mcpdeploy/provider-k3s/domains/K3sDomainManager")
      ])
    )
    return K3sDomainManager.layer(new RegionConfig(cluster))
  })
)

/** Everything that a deploy needs. */
export const pipelineLayer = Layer.unwrap(
  Effect.gen(function* () {
    const file = yield* regionFile
    const { regionOf } = yield* Effect.promise(() => import("@mcpdeploy/provider-k3s/K3sRegion"))
    return yield* usage(
      regionOf(file, {
        gitCacheFolder: join(defaultCacheFolder(process.env), "git"),
        buildSecretKey: yield* usage(buildSecretKey)
      })
    )
  })
).pipe(Layer.provideMerge(secretStore))

/** What changes and removes services: everything but sources and builds. */
export const operationsLayer = Layer.unwrap(
  Effect.gen(function* () {
    const file = yield* regionFile
    const { operationsLayer, partsOf } = yield* Effect.promise(
      () => import("@mcpdeploy/provider-k3s/K3sRegion")
    )
    return operationsLayer(yield* usage(partsOf(file)))
  })
).pipe(Layer.provideMerge(secretStore))

/** What is wrong with the region. */
export const findings = Effect.gen(function* () {
  const file = yield* regionFile
  const [{ partsOf }, { examine }] = yield* Effect.promise(() =>
    Promise.all([
      import("@mcpdeploy/provider-k3s/K3sRegion"),
      import("@mcpdeploy/provider-k3s/doctor/Doctor")
    ])
  )
  return yield* examine({
    ...(yield* usage(partsOf(file))),
    ...(file.gitea === undefined ? {} : { gitea: file.gitea.url })
  })
}).pipe(Effect.provide(secretStore))

/** Gitea's mirrors. */
export const mirrorLayer = Layer.unwrap(
  Effect.gen(function* () {
    const { cluster, gitea } = yield* regionFile
    if (gitea === undefined) {
      return yield* new CommandFailed({
        exitCode: exitCodes.usage,
        detail:
          "this region has no Gitea: `mcpdeploy local up --with gitea` starts one, a region file names one under `gitea`"
      })
    }
    return yield* giteaLayer(cluster, gitea)
  })
).pipe(Layer.provide(secretStore))

/** Gitea's mirrors, or that there are none. */
export const mirrorsIfAny = Layer.unwrap(
  Effect.gen(function* () {
    const { cluster, gitea } = yield* regionFile
    return gitea === undefined ? GitMirror.none : yield* giteaLayer(cluster, gitea)
  })
).pipe(Layer.provide(secretStore))

const giteaLayer = (cluster: RegionFile["cluster"], gitea: NonNullable<RegionFile["gitea"]>) =>
  Effect.gen(function* () {
    const secrets = yield* SecretStore
    const [{ RegionConfig }, GiteaMirror] = yield* Effect.promise(() =>
      Promise.all([
        import("@mcpdeploy/provider-k3s/RegionConfig"),
        import("@mcpdeploy/provider-gitea/GiteaMirror")
      ])
    )
    return GiteaMirror.layer(
      {
        url: gitea.url,
        token: yield* usage(secrets.resolve(gitea.token)),
        webhookUrl: gitea.webhookUrl,
        webhookSecret: yield* usage(secrets.resolve(gitea.webhookSecret))
      },
      new RegionConfig(cluster)
    )
  })
