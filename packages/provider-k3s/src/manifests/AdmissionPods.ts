/** What a customer's pod must and must not say, in a pod and in every template of one. CEL. */
import type { RegionConfig } from "../RegionConfig.ts"

/** A CEL expression that holds for what is accepted, and what is said when it does not. */
export interface Rule {
  readonly expression: string
  readonly message: string
}

/**
 * cert-manager's account: its short-lived pods answer HTTP-01 challenges in the namespace of the certificate, and their
 * template has no field for a runtime class.
 */
const certManager = ["system:serviceaccount:cert-manager:cert-manager", "system:cert-manager"]

/** Whether cert-manager asks, to answer a challenge. */
export const isChallenge = `request.userInfo.username in ${JSON.stringify(certManager).replaceAll('"', "'")}`

export const podVariables = [
  {
    name: "template",
    expression:
      "request.kind.kind == 'Pod' ? object : request.kind.kind == 'CronJob' ? object.spec.jobTemplate.spec.template : request.kind.kind == 'PodTemplate' ? object.template : object.spec.template"
  },
  { name: "spec", expression: "variables.template.spec" },
  {
    name: "containers",
    expression:
      "variables.spec.containers + variables.spec.?initContainers.orValue([]) + variables.spec.?ephemeralContainers.orValue([])"
  }
]

/** What container runtimes give by default, and Pod Security "baseline" lets one name. */
const capabilities = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT"
]

/** kubelet, on the node and outside every NetworkPolicy, would connect to a host that is named here. */
const hostOfAction = [
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle.?postStart",
  "lifecycle.?preStop"
]
  .flatMap((action) => ["httpGet", "tcpSocket"].map((way) => `c.?${action}.?${way}.?host.orValue('') == ''`))
  .join(" && ")

const inEveryContainer = (expression: string, message: string): Rule => ({
  expression: `variables.containers.all(c, ${expression})`,
  message
})

const inSpec = (expression: string, message: string): Rule => ({
  expression: `variables.spec.${expression}`,
  message
})

export const podRules = ({ runtimeClass }: RegionConfig): ReadonlyArray<Rule> => [
  {
    expression: `variables.spec.?runtimeClassName.orValue('') == '${runtimeClass}' || ${isChallenge}`,
    message: `runtimeClassName is ${runtimeClass}`
  },
  ...["hostNetwork", "hostPID", "hostIPC"].map((field) =>
    inSpec(`?${field}.orValue(false) == false`, `${field} is not allowed`)
  ),
  inSpec(
    "?automountServiceAccountToken.orValue(true) == false",
    "automountServiceAccountToken is false: pods get no token of the cluster"
  ),
  inSpec(
    "?volumes.orValue([]).all(v, has(v.configMap) || has(v.secret) || has(v.emptyDir) || has(v.downwardAPI) || has(v.projected))",
    "volumes are of configMap, secret, emptyDir, downwardAPI or projected"
  ),
  inSpec(
    "?volumes.orValue([]).all(v, v.?projected.?sources.orValue([]).all(s, has(s.configMap) || has(s.secret) || has(s.downwardAPI)))",
    "a projected volume has no token or certificate of the cluster"
  ),
  inEveryContainer("c.?securityContext.?privileged.orValue(false) == false", "privileged is not allowed"),
  inEveryContainer(
    "c.?securityContext.?procMount.orValue('Default') == 'Default'",
    "procMount is not allowed"
  ),
  inEveryContainer(
    `c.?securityContext.?capabilities.?add.orValue([]).all(name, name in ${JSON.stringify(capabilities).replaceAll('"', "'")})`,
    "only the default capabilities may be added"
  ),
  inEveryContainer(
    "c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0 && p.?hostIP.orValue('') == '')",
    "hostPort is not allowed"
  ),
  inEveryContainer(hostOfAction, "probes and lifecycle actions name no host"),
  inSpec("?securityContext.?sysctls.orValue([]).size() == 0", "sysctls are not allowed"),
  {
    expression:
      "(request.kind.kind == 'Pod' && request.operation == 'UPDATE') || variables.spec.?nodeName.orValue('') == ''",
    message: "nodeName is not allowed: the scheduler chooses the node"
  },
  inSpec("?priorityClassName.orValue('') == ''", "priorityClassName is not allowed"),
  inSpec("?resourceClaims.orValue([]).size() == 0", "resourceClaims are not allowed"),
  {
    expression:
      "variables.template.?metadata.?annotations.orValue({}).all(name, !name.startsWith('dev.gvisor.'))",
    message: "annotations must not configure gVisor"
  }
]
