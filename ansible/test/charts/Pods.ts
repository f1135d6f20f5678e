/** The pods that rendered charts ask for, and what is wrong with them. */
import * as Schema from "effect/Schema"
import type { Manifest } from "../lab/Manifests.ts"

const optional = Schema.optionalKey
const Labels = Schema.Record(Schema.String, Schema.String)
const Users = {
  runAsUser: optional(Schema.Int),
  runAsGroup: optional(Schema.Int),
  fsGroup: optional(Schema.Int)
}
const named = Schema.Struct({ name: optional(Schema.String) })

const Mount = Schema.Struct({
  name: Schema.String,
  mountPath: Schema.String,
  subPath: optional(Schema.String),
  readOnly: optional(Schema.Boolean)
})
const Container = Schema.Struct({
  name: Schema.String,
  image: Schema.String,
  securityContext: optional(Schema.Struct(Users)),
  volumeMounts: optional(Schema.NullOr(Schema.Array(Mount))),
  ports: optional(
    Schema.NullOr(Schema.Array(Schema.Struct({ name: optional(Schema.String), containerPort: Schema.Int })))
  ),
  env: optional(
    Schema.NullOr(
      Schema.Array(
        Schema.Struct({
          valueFrom: optional(
            Schema.Struct({ secretKeyRef: optional(named), configMapKeyRef: optional(named) })
          )
        })
      )
    )
  )
})
const Volume = Schema.Struct({
  name: Schema.String,
  hostPath: optional(Schema.Struct({ path: Schema.String })),
  persistentVolumeClaim: optional(Schema.Struct({ claimName: Schema.String })),
  secret: optional(
    Schema.Struct({ secretName: optional(Schema.String), optional: optional(Schema.Boolean) })
  ),
  configMap: optional(named)
})
const PodSpec = Schema.Struct({
  nodeSelector: optional(Schema.NullOr(Labels)),
  tolerations: optional(
    Schema.NullOr(
      Schema.Array(
        Schema.Struct({
          key: optional(Schema.String),
          operator: optional(Schema.String),
          value: optional(Schema.String)
        })
      )
    )
  ),
  securityContext: optional(Schema.NullOr(Schema.Struct(Users))),
  initContainers: optional(Schema.NullOr(Schema.Array(Container))),
  containers: Schema.Array(Container),
  volumes: optional(Schema.NullOr(Schema.Array(Volume)))
})
const ClaimSpec = Schema.Struct({
  storageClassName: optional(Schema.String),
  selector: optional(Schema.Struct({ matchLabels: Labels })),
  resources: Schema.Struct({ requests: Schema.Struct({ storage: Schema.String }) })
})
const Template = Schema.Struct({
  metadata: optional(Schema.Struct({ labels: optional(Schema.NullOr(Labels)) })),
  spec: PodSpec
})
const Workload = Schema.Struct({
  spec: Schema.Struct({
    template: Template,
    volumeClaimTemplates: optional(
      Schema.Array(Schema.Struct({ metadata: Schema.Struct({ name: Schema.String }), spec: ClaimSpec }))
    )
  })
})
/** Of Prometheus' operator, which makes a StatefulSet of it. */
const Operated = Schema.Struct({
  spec: Schema.Struct({
    image: Schema.String,
    nodeSelector: optional(Labels),
    tolerations: PodSpec.fields.tolerations,
    securityContext: Schema.Struct(Users),
    volumes: optional(Schema.Array(Volume)),
    volumeMounts: optional(Schema.Array(Mount)),
    configSecret: optional(Schema.String),
    storage: optional(Schema.Struct({ volumeClaimTemplate: Schema.Struct({ spec: ClaimSpec }) }))
  })
})

export interface Claim {
  readonly storageClassName?: string
  readonly labels: Readonly<Record<string, string>>
  readonly storage: string
}

/** A pod, whatever makes it. */
export interface Pod {
  readonly kind: string
  readonly name: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly spec: typeof PodSpec.Type
  /** By the name of the volume that is claimed. */
  readonly claims: ReadonlyMap<string, Claim>
}

export const claimOf = ({ resources, selector, storageClassName }: typeof ClaimSpec.Type): Claim => ({
  ...(storageClassName === undefined ? {} : { storageClassName }),
  labels: selector?.matchLabels ?? {},
  storage: resources.requests.storage
})
export const decodeClaim = Schema.decodeUnknownSync(Schema.Struct({ spec: ClaimSpec }))

const workloads = new Set(["Deployment", "StatefulSet", "DaemonSet", "Job"])
const decodeWorkload = Schema.decodeUnknownSync(Workload)
const decodeOperated = Schema.decodeUnknownSync(Operated)

const operated = (manifest: Manifest, namespace: string): Pod => {
  const read = decodeOperated(manifest).spec
  const { image, securityContext, storage, volumeMounts = [], volumes = [] } = read
  const data = { name: "data", mountPath: "/data" }
  return {
    kind: manifest.kind,
    name: manifest.metadata.name,
    namespace,
    labels: {},
    spec: {
      nodeSelector: read.nodeSelector ?? {},
      tolerations: read.tolerations ?? [],
      securityContext,
      volumes: [
        ...volumes,
        ...(read.configSecret === undefined
          ? []
          : [{ name: "config", secret: { secretName: read.configSecret } }])
      ],
      containers: [
        {
          name: manifest.kind.toLowerCase(),
          image,
          volumeMounts: [
            ...volumeMounts,
            ...(read.configSecret === undefined ? [] : [{ name: "config", mountPath: "/config" }]),
            ...(storage === undefined ? [] : [data])
          ]
        }
      ]
    },
    claims: new Map(storage === undefined ? [] : [["data", claimOf(storage.volumeClaimTemplate.spec)]])
  }
}

/** All pods that the objects of a release make. */
export const podsOf = (manifests: ReadonlyArray<Manifest>, release: string): ReadonlyArray<Pod> =>
  manifests.flatMap((manifest) => {
    const { kind, metadata } = manifest
    const namespace = metadata.namespace ?? release
    if (kind === "Prometheus" || kind === "Alertmanager") return [operated(manifest, namespace)]
    if (!workloads.has(kind)) return []
    const { template, volumeClaimTemplates = [] } = decodeWorkload(manifest).spec
    return [
      {
        kind,
        name: metadata.name,
        namespace,
        labels: template.metadata?.labels ?? {},
        spec: template.spec,
        claims: new Map(volumeClaimTemplates.map((one) => [one.metadata.name, claimOf(one.spec)]))
      }
    ]
  })

export const containersOf = ({ spec }: Pod): ReadonlyArray<typeof Container.Type> => [
  ...(spec.initContainers ?? []),
  ...spec.containers
]

/** Volumes that nothing mounts, mounts of no volume, and two at one path, which the API server refuses. */
export const mountFaults = (pod: Pod): ReadonlyArray<string> => {
  const volumes = new Set([...(pod.spec.volumes ?? []).map(({ name }) => name), ...pod.claims.keys()])
  const mounts = containersOf(pod).map(({ name, volumeMounts }) => ({ name, mounts: volumeMounts ?? [] }))
  const mounted = new Set(mounts.flatMap((each) => each.mounts.map((mount) => mount.name)))
  return [
    ...[...volumes].filter((name) => !mounted.has(name)).map((name) => `nothing mounts ${name}`),
    ...[...mounted].filter((name) => !volumes.has(name)).map((name) => `no volume ${name}`),
    ...mounts.flatMap(({ mounts: own, name }) =>
      own
        .map(({ mountPath }) => mountPath)
        .filter((path, index, all) => all.indexOf(path) !== index)
        .map((path) => `${name} mounts two at ${path}`)
    )
  ]
}

/** The node's own folders that a container would write to without being root there. */
export const hostWriteFaults = (pod: Pod): ReadonlyArray<string> =>
  (pod.spec.volumes ?? []).flatMap(({ hostPath, name }) =>
    hostPath === undefined
      ? []
      : containersOf(pod)
          .filter(
            ({ securityContext, volumeMounts }) =>
              (volumeMounts ?? []).some((mount) => mount.name === name && mount.readOnly !== true) &&
              (securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser ?? 0) !== 0
          )
          .map((container) => `${container.name} cannot write to ${hostPath.path}`)
  )

/** Images without a version of their own. */
export const imageFaults = (pod: Pod): ReadonlyArray<string> =>
  containersOf(pod)
    .map(({ image }) => image)
    .filter((image) => !/(@sha256:[0-9a-f]{64}|:[\w.-]*\d[\w.-]*)$/.test(image) || image.endsWith(":latest"))
