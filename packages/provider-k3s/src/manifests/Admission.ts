/**
 * What the cluster itself refuses in customer namespaces, whoever asks: ValidatingAdmissionPolicies (Kubernetes 1.30) and
 * their bindings. They match namespaces by name, not by label, so that a namespace without labels is no way around them.
 * Root and the usual capabilities stay allowed: gVisor is the security boundary.
 */
import type { V1ValidatingAdmissionPolicy, V1ValidatingAdmissionPolicyBinding } from "@kubernetes/client-node"
import { ownerLabels } from "@mcpdeploy/core/domain/Identity"
import type { RegionConfig } from "../RegionConfig.ts"
import { ingressRules } from "./AdmissionIngress.ts"
import { podRules, podVariables, type Rule } from "./AdmissionPods.ts"
import { fieldManager, labels, type Manifest } from "./Manifest.ts"
import { serversScheme } from "./Service.ts"

interface Resources {
  readonly [key: string]: ReadonlyArray<string>
  readonly apiGroups: Array<string>
  readonly apiVersions: Array<string>
  readonly operations: Array<string>
  readonly resources: Array<string>
}

interface Policy {
  readonly name: string
  /** The namespaces of customers when absent. */
  readonly when?: { readonly name: string; readonly expression: string }
  readonly resources: Array<Resources>
  readonly variables?: ReadonlyArray<{ readonly name: string; readonly expression: string }>
  readonly rules: ReadonlyArray<Rule>
}

/** `dp-system` has the prefix and is the platform's own. */
const customerNamespace = {
  name: "customer-namespace",
  expression: "request.namespace.startsWith('dp-') && request.namespace != 'dp-system'"
}

const resources = (
  apiGroup: string,
  names: ReadonlyArray<string>,
  operations: ReadonlyArray<"CREATE" | "UPDATE"> = ["CREATE", "UPDATE"]
): Resources => ({
  apiGroups: [apiGroup],
  apiVersions: ["*"],
  operations: [...operations],
  resources: [...names]
})

/** A Service without a selector leads wherever its endpoints say, past every NetworkPolicy (CVE-2021-25740). */
const serviceRules: ReadonlyArray<Rule> = [
  {
    expression: "object.spec.?type.orValue('ClusterIP') == 'ClusterIP'",
    message: "a service is of type ClusterIP"
  },
  {
    expression:
      "object.spec.?externalIPs.orValue([]).size() == 0 && object.spec.?externalName.orValue('') == ''",
    message: "a service has no externalIPs and no externalName"
  },
  { expression: "object.spec.?selector.orValue({}).size() > 0", message: "a service selects pods" },
  {
    expression: `object.metadata.?annotations.orValue({}).all(name, !name.contains('traefik') || (name == '${serversScheme}' && object.metadata.annotations[name] == 'h2c'))`,
    message: "annotations for Traefik may only say that the app speaks h2c"
  }
]

const endpointsRule: Rule = {
  expression:
    "request.userInfo.username == 'system:kube-controller-manager' || request.userInfo.username.startsWith('system:serviceaccount:kube-system:')",
  message: "only the cluster's controllers write endpoints"
}

const nothing = (what: string): Rule => ({ expression: "false", message: `${what} not allowed here` })

const policies = (region: RegionConfig): ReadonlyArray<Policy> => [
  {
    name: "pods",
    resources: [
      // Of a pod that exists, only ephemeral containers can be changed.
      resources("", ["pods"], ["CREATE"]),
      resources("", ["pods/ephemeralcontainers", "replicationcontrollers", "podtemplates"]),
      resources("apps", ["deployments", "replicasets", "statefulsets", "daemonsets"]),
      resources("batch", ["jobs", "cronjobs"])
    ],
    variables: podVariables,
    rules: podRules(region)
  },
  { name: "services", resources: [resources("", ["services"])], rules: serviceRules },
  {
    name: "endpoints",
    resources: [resources("", ["endpoints"]), resources("discovery.k8s.io", ["endpointslices"])],
    rules: [endpointsRule]
  },
  {
    name: "ingresses",
    resources: [resources("networking.k8s.io", ["ingresses"])],
    rules: ingressRules(region)
  },
  {
    name: "routes",
    resources: ["traefik.io", "traefik.containo.us", "gateway.networking.k8s.io"].map((group) =>
      resources(group, ["*"])
    ),
    rules: [nothing("objects of Traefik and of the Gateway API are")]
  },
  {
    name: "rights",
    resources: [
      resources("rbac.authorization.k8s.io", ["roles", "rolebindings"]),
      resources("", ["serviceaccounts/token"])
    ],
    rules: [nothing("roles and tokens of service accounts are")]
  },
  {
    name: "secrets",
    resources: [resources("", ["secrets"])],
    rules: [
      {
        expression: "object.?type.orValue('Opaque') != 'kubernetes.io/service-account-token'",
        message: "a secret is no service-account token"
      }
    ]
  },
  {
    name: "namespaces",
    when: {
      name: "labelled-as-customer",
      expression: `object.metadata.?labels.orValue({}).exists(name, name in ['${ownerLabels.user}', '${ownerLabels.project}'])`
    },
    resources: [resources("", ["namespaces"])],
    rules: [
      {
        expression: `object.metadata.name == 'dp-' + object.metadata.labels[?'${ownerLabels.user}'].orValue('') + '-' + object.metadata.labels[?'${ownerLabels.project}'].orValue('')`,
        message: "a customer's namespace is named dp-{user}-{project} by its labels"
      }
    ]
  }
]

const metadata = (name: string) => ({
  name: `mcpdeploy-${name}`,
  labels: { [labels.managedBy]: fieldManager }
})

const policy = ({ name, resources, rules, variables, when = customerNamespace }: Policy) =>
  ({
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: metadata(name),
    spec: {
      failurePolicy: "Fail",
      matchConstraints: { resourceRules: resources },
      matchConditions: [when],
      ...(variables === undefined ? {} : { variables: [...variables] }),
      validations: rules.map(({ expression, message }) => ({ expression, message }))
    }
  }) satisfies V1ValidatingAdmissionPolicy

const binding = ({ name }: Policy) =>
  ({
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: metadata(name),
    spec: { policyName: `mcpdeploy-${name}`, validationActions: ["Deny"] }
  }) satisfies V1ValidatingAdmissionPolicyBinding

/** Applied once to a region's cluster, before any customer's workload: `regions/{region}/k8s/admission.yaml`. */
export const admissionObjects = (region: RegionConfig): ReadonlyArray<Manifest> =>
  policies(region).flatMap((each): ReadonlyArray<Manifest> => [policy(each), binding(each)])
