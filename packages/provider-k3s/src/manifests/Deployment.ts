/** The Deployment of a service: how its image runs. */
import type { V1Deployment, V1PodTemplateSpec } from "@kubernetes/client-node"
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import { defaultPeriodSeconds } from "@mcpdeploy/core/domain/DeployRequest"
import { platformHost } from "@mcpdeploy/core/domain/PlatformHost"
import { platformVariables } from "@mcpdeploy/core/domain/PlatformVariables"
import type { RegionConfig } from "../RegionConfig.ts"
import { annotations, labels, serviceLabels, shortHash } from "./Manifest.ts"
import { urlOf } from "./PlatformUrl.ts"
import { projectObject } from "./Project.ts"
import { resourcesOf } from "./Quantity.ts"

/** Name of the only container. */
export const containerName = "app"

/** `run.rolloutSeconds` when absent. */
export const defaultRolloutSeconds = 300

/**
 * Seconds between the moment when a pod leaves its Service and the moment when its app is told to end: until then the
 * ingress and kube-proxy have heard of it, and no connection goes to a pod that is ending.
 */
const drainSeconds = 5

/**
 * Kubernetes expands `$(NAME)` in a container's env values, command and arguments; `$$` stands for one `$`. With every
 * `$` doubled, the app sees the value verbatim.
 */
export const verbatim = (value: string): string => value.replaceAll("$", "$$$$")

const byName = (a: readonly [string, unknown], b: readonly [string, unknown]) =>
  a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0

/** What the API server takes as a key of a Secret (ConfigMap keys, Kubernetes API reference). */
const secretKeyPattern = /^(?!hash-)(?!\.\.)[-._a-zA-Z0-9]{1,253}$/

/** Under which key of the service's Secret a variable's value is: its name, or a hash of a name that is no key. */
export const secretKey = (variable: string): string =>
  secretKeyPattern.test(variable) && variable !== "." ? variable : `hash-${shortHash(variable, 64)}`

/**
 * What the platform says where the service itself says nothing. A new commit makes new pods even of the same image: what they
 * say of themselves is true.
 */
const platformEnvironment = ({ image, run, target }: Workload, region: RegionConfig) => {
  const host = platformHost(target, region.platformDomain)
  return {
    [platformVariables.commit]: image.commit,
    ...(run.public === false
      ? {}
      : { [platformVariables.host]: host, [platformVariables.url]: urlOf(region, host, "") })
  }
}

/** A variable of the service's own stands before the platform's, but for `PORT`; a secret before a plain value of its name. */
export const environment = (workload: Workload, region: RegionConfig, secretName: string | undefined) => {
  const { env = {}, port, secrets = {} } = workload.run
  const plain = Object.entries({ ...platformEnvironment(workload, region), ...env }).filter(
    ([name]) => name !== platformVariables.port && !Object.hasOwn(secrets, name)
  )
  return [
    { name: platformVariables.port, value: String(port) },
    ...plain.toSorted(byName).map(([name, value]) => ({ name, value: verbatim(value) })),
    ...(secretName === undefined
      ? []
      : Object.keys(secrets)
          .toSorted()
          .filter((name) => name !== platformVariables.port)
          .map((name) => ({ name, valueFrom: { secretKeyRef: { name: secretName, key: secretKey(name) } } })))
  ]
}

export const resources = ({ run }: Workload, { limits, reserved }: RegionConfig) => {
  const { cpu = limits.cpu, memory = limits.memory } = run
  return resourcesOf({ cpu, memory }, reserved)
}

/** What kubelet asks to know whether the app serves: its health check, or whether the port accepts connections. */
const probeAction = ({ run, target }: Workload, region: RegionConfig) => {
  const { grpcService, path } = run.healthCheck ?? {}
  if (path !== undefined)
    return {
      httpGet: {
        path,
        port: run.port,
        // Frameworks that check the host refuse a pod's address.
        httpHeaders: [{ name: "Host", value: platformHost(target, region.platformDomain) }]
      }
    }
  return grpcService === undefined
    ? { tcpSocket: { port: run.port } }
    : { grpc: { port: run.port, service: grpcService } }
}

/** An app that may be slow is not ended for it within a minute. */
const livenessFailures = 3
const minLivenessPeriod = 20

/**
 * An app is asked at a moderate pace, for ever: many limit how often they answer one address. kubelet asks readiness the
 * moment the container runs, whatever the pace; while a deploy waits, ReadinessRequests makes it ask more often. A startup
 * probe would do that too, but is first asked at its next tick, up to a second later.
 */
const probes = (workload: Workload, region: RegionConfig) => {
  const { healthCheck, rolloutSeconds = defaultRolloutSeconds } = workload.run
  const action = probeAction(workload, region)
  const periodSeconds = healthCheck?.periodSeconds ?? defaultPeriodSeconds
  const livenessPeriod = Math.max(periodSeconds, minLivenessPeriod)
  // The app may take as long to start as the rollout may take; only then kubelet ends it for not answering.
  const delay = rolloutSeconds - livenessPeriod * livenessFailures
  return {
    readinessProbe: { ...action, periodSeconds, timeoutSeconds: 5, failureThreshold: 3 },
    livenessProbe: {
      ...action,
      // The API server leaves a zero out.
      ...(delay > 0 ? { initialDelaySeconds: delay } : {}),
      periodSeconds: livenessPeriod,
      timeoutSeconds: 10,
      failureThreshold: livenessFailures
    }
  }
}

/** What every pod of a customer says: its sandbox, and that it gets no token of the cluster. */
export const sandbox = ({ runtimeClass }: RegionConfig) => ({
  runtimeClassName: runtimeClass,
  serviceAccountName: projectObject,
  automountServiceAccountToken: false,
  enableServiceLinks: false
})

const podSpec = (workload: Workload, region: RegionConfig, secretName: string | undefined) => {
  const { digest, image, run } = workload
  return {
    ...sandbox(region),
    terminationGracePeriodSeconds: 30 + drainSeconds,
    containers: [
      {
        name: containerName,
        image: image.withDigest(digest),
        ...(run.command === undefined ? {} : { command: run.command.map(verbatim) }),
        ports: [{ name: "http", containerPort: run.port }],
        env: environment(workload, region, secretName),
        resources: resources(workload, region),
        ...probes(workload, region),
        lifecycle: { preStop: { sleep: { seconds: drainSeconds } } },
        // The end of a crashed app's output stands in its pod's status, also when its log is gone.
        terminationMessagePolicy: "FallbackToLogsOnError"
      }
    ]
  } satisfies V1PodTemplateSpec["spec"]
}

/** Identifies what of a workload makes new pods. */
export const revisionOf = (
  workload: Workload,
  region: RegionConfig,
  secretName: string | undefined
): string => {
  const spec = podSpec(workload, region, secretName)
  const { restartedAt } = workload
  return shortHash(restartedAt === undefined ? spec : { spec, restartedAt }, 16)
}

export const deployment = (workload: Workload, region: RegionConfig, secretName: string | undefined) => {
  const { image, restartedAt, run, target } = workload
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: target.service,
      namespace: target.namespace,
      labels: serviceLabels(target),
      annotations: { [annotations.commit]: image.commit }
    },
    spec: {
      replicas: run.replicas ?? 1,
      revisionHistoryLimit: 2,
      progressDeadlineSeconds: run.rolloutSeconds ?? defaultRolloutSeconds,
      // A pod is taken away only when its successor is ready: the service answers all the time.
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      selector: { matchLabels: { [labels.service]: target.service } },
      template: {
        metadata: {
          labels: {
            ...serviceLabels(target),
            [labels.revision]: revisionOf(workload, region, secretName)
          },
          ...(restartedAt === undefined ? {} : { annotations: { [annotations.restartedAt]: restartedAt } })
        },
        spec: podSpec(workload, region, secretName)
      }
    }
  } satisfies V1Deployment
}
