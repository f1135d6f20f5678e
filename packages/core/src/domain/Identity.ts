/**
 * Who owns a workload, and the names that follow from it.
 *
 * A value of one of these types is valid: it was decoded, or made by a function of this module.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** RFC 1123 label: what Kubernetes asks of a namespace and OCI of a repository's path component. */
const dnsLabel = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/
/** RFC 1035 label: what Kubernetes asks of a Service's name. */
const dnsLabel1035 = /^[a-z](?:[a-z0-9-]*[a-z0-9])?$/

/** A label may have 63 characters (RFC 1035, 2.3.4). */
export const maxLabelLength = 63

const label = (pattern: RegExp, start: string) =>
  Schema.String.pipe(
    Schema.check(
      Schema.isPattern(pattern, {
        expected: `lower-case letters, digits and "-", beginning with ${start} and ending with a letter or digit`
      }),
      Schema.isMaxLength(maxLabelLength)
    )
  )

/** The customer's id, as the product plane knows it. */
export const UserId = label(dnsLabel, "a letter or digit").pipe(Schema.brand("UserId"))
export type UserId = typeof UserId.Type

/** A customer's project: one Kubernetes namespace. */
export const ProjectName = label(dnsLabel, "a letter or digit").pipe(Schema.brand("ProjectName"))
export type ProjectName = typeof ProjectName.Type

/** A service of a project: one Deployment, and its name in the cluster's DNS. */
export const ServiceName = label(dnsLabel1035, "a letter").pipe(Schema.brand("ServiceName"))
export type ServiceName = typeof ServiceName.Type

/** `dp-{user_id}-{project}`: the Kubernetes namespace of a project. */
export const Namespace = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^dp-[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, { expected: "dp-{user_id}-{project}" }),
    Schema.isMaxLength(maxLabelLength)
  ),
  Schema.brand("Namespace")
)
export type Namespace = typeof Namespace.Type

/** The owner of a namespace. Two owners may make the same name (`a-b`+`c`, `a`+`b-c`): see {@link checkOwner}. */
export class Owner extends Schema.Class<Owner>("mcpdeploy/core/Owner")(
  Schema.Struct({ user: UserId, project: ProjectName }).check(
    Schema.makeFilter(({ project, user }) =>
      `dp-${user}-${project}`.length <= maxLabelLength
        ? undefined
        : `the namespace dp-${user}-${project} has ${`dp-${user}-${project}`.length} characters, ${maxLabelLength} are allowed: shorten the project's name`
    )
  )
) {
  /** The Kubernetes namespace of this owner's project. */
  get namespace(): Namespace {
    return Namespace.make(`dp-${this.user}-${this.project}`)
  }
}

/** One service of one owner: what a deploy, a rollback or a delete is about. */
export class ServiceTarget extends Schema.Class<ServiceTarget>("mcpdeploy/core/ServiceTarget")({
  owner: Owner,
  service: ServiceName
}) {
  get namespace(): Namespace {
    return this.owner.namespace
  }
  /** One text for one service, unlike the namespace's name never shared by two owners. */
  get key(): string {
    return `${this.owner.user}/${this.owner.project}/${this.service}`
  }
  override toString(): string {
    return this.key
  }
}

/** A namespace of that name exists and belongs to someone else. Never retryable: choose another project name. */
export class NamespaceOwnedByOther extends Schema.TaggedError<NamespaceOwnedByOther>()(
  "NamespaceOwnedByOther",
  {
    namespace: Namespace,
    requested: Owner
  }
) {
  readonly retryable = false
  override get message(): string {
    return `the namespace ${this.namespace} already belongs to another owner, so project "${this.requested.project}" of user "${this.requested.user}" cannot use it: choose another project name`
  }
}

/** Labels that say to whom a namespace, and everything in it, belongs. */
export const ownerLabels = {
  user: "mcpdeploy.dev/user",
  project: "mcpdeploy.dev/project"
} as const

/** The labels which an owner's namespace carries. */
export const labelsOf = (owner: Owner): Readonly<Record<string, string>> => ({
  [ownerLabels.user]: owner.user,
  [ownerLabels.project]: owner.project
})

/**
 * Succeeds when a namespace that carries `labels` belongs to `owner`. Asked before every write, because the
 * namespace's name alone does not tell.
 */
export const checkOwner = (
  owner: Owner,
  labels: Readonly<Record<string, string>>
): Effect.Effect<void, NamespaceOwnedByOther> =>
  labels[ownerLabels.user] === owner.user && labels[ownerLabels.project] === owner.project
    ? Effect.void
    : Effect.fail(new NamespaceOwnedByOther({ namespace: owner.namespace, requested: owner }))
