/** What runs to its end in a service's image: scheduled jobs, and one-off commands. */
import type { V1CronJob, V1Job, V1PodTemplateSpec } from "@kubernetes/client-node"
import type { Workload } from "@mcpdeploy/core/ClusterApplier"
import type { JobSpec } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { RegionConfig } from "../RegionConfig.ts"
import { containerName, environment, resources, sandbox, verbatim } from "./Deployment.ts"
import { labels, type Manifest, projectLabels, serviceLabels, shortHash } from "./Manifest.ts"

/** A CronJob's name may have 52 characters: the controller appends 11 to it for each Job. */
const maxCronJobName = 52
const defaultDeadlineSeconds = 3600
/** How late a run may start, after the controller was away. */
const startingDeadlineSeconds = 300
/** After this a one-off command's Job is removed by the cluster, should its process have been killed. */
const removedAfterSeconds = 60

const shortened = (service: string, rest: string, length: number): string => {
  const name = `${service}-${rest}`
  if (name.length <= length) return name
  const hash = shortHash([service, rest], 8)
  return `${name.slice(0, length - hash.length - 1).replace(/-+$/, "")}-${hash}`
}

/** `{service}-{job}`, shortened with a hash where that is too long. */
export const cronJobName = ({ service }: ServiceTarget, job: string): string =>
  shortened(service, job, maxCronJobName)

/** Labels of pods that serve nobody: they belong to the service, and no Service leads to them. */
const podLabels = (target: ServiceTarget) => ({
  ...projectLabels(target.owner),
  [labels.jobOf]: target.service
})

const template = (
  workload: Workload,
  region: RegionConfig,
  secretName: string | undefined,
  command: JobSpec["command"]
) => ({
  metadata: { labels: podLabels(workload.target) },
  spec: {
    ...sandbox(region),
    restartPolicy: "Never",
    containers: [
      {
        name: containerName,
        image: workload.image.withDigest(workload.digest),
        command: command.map(verbatim),
        env: environment(workload, region, secretName),
        resources: resources(workload, region)
      }
    ]
  } satisfies V1PodTemplateSpec["spec"]
})

/** Runs never overlap, and a run that fails is not repeated: the next one comes by itself. */
export const cronJob = (
  workload: Workload,
  region: RegionConfig,
  secretName: string | undefined,
  name: string,
  { command, deadlineSeconds, schedule, timeZone }: JobSpec
) =>
  ({
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: {
      name: cronJobName(workload.target, name),
      namespace: workload.target.namespace,
      labels: serviceLabels(workload.target)
    },
    spec: {
      schedule,
      timeZone: timeZone ?? "Etc/UTC",
      concurrencyPolicy: "Forbid",
      startingDeadlineSeconds,
      successfulJobsHistoryLimit: 1,
      failedJobsHistoryLimit: 1,
      jobTemplate: {
        metadata: { labels: podLabels(workload.target) },
        spec: {
          backoffLimit: 0,
          activeDeadlineSeconds: deadlineSeconds ?? defaultDeadlineSeconds,
          template: template(workload, region, secretName, command)
        }
      }
    }
  }) satisfies V1CronJob

export const cronJobs = (
  workload: Workload,
  region: RegionConfig,
  secretName: string | undefined
): ReadonlyArray<Manifest> =>
  Object.entries(workload.run.jobs ?? {}).map(([name, job]) =>
    cronJob(workload, region, secretName, name, job)
  )

/** `{service}-run-{id}`. */
export const oneOffName = ({ service }: ServiceTarget, id: string): string =>
  shortened(service, `run-${id}`, maxCronJobName)

export const oneOffJob = (
  workload: Workload,
  region: RegionConfig,
  options: {
    readonly name: string
    readonly secretName: string | undefined
    readonly command: JobSpec["command"]
    readonly deadlineSeconds: number
  }
) =>
  ({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: options.name,
      namespace: workload.target.namespace,
      labels: podLabels(workload.target)
    },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: options.deadlineSeconds,
      ttlSecondsAfterFinished: removedAfterSeconds,
      template: template(workload, region, options.secretName, options.command)
    }
  }) satisfies V1Job
