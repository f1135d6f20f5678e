/** Activities that do nothing and succeed, for tests of the workflows and for the benchmark. */
import type { Activities } from "@mcpdeploy/temporal-contract/contract"
import type { DeployRequest, Receipt, ServiceTarget } from "@mcpdeploy/temporal-contract/data"

const sha = (generation: number): string => generation.toString(16).padStart(40, "0")

/** A request whose commit is `generation` in hexadecimal. */
export const stubRequest = (target: ServiceTarget, generation: number): DeployRequest => ({
  ...target,
  source: { repository: { url: "https://git.example/app.git" }, ref: sha(generation) },
  build: {},
  run: { port: 8080 },
  generation
})

const image = ({ owner, service }: ServiceTarget, commit: string) => ({
  registry: "registry.internal:5000",
  namespace: `dp-${owner.user}-${owner.project}`,
  service,
  commit
})

const digest = `sha256:${"0".repeat(64)}`

/** A receipt of the request at that commit. */
export const stubReceipt = (request: DeployRequest, commit: string): Receipt => ({
  commit,
  image: image(request, commit),
  digest,
  buildKey: commit,
  generation: request.generation,
  source: request.source,
  build: request.build,
  run: request.run,
  pods: [{ name: `${request.service}-0`, node: "run-1", digest }],
  steps: [],
  deployedAt: "2026-01-01T00:00:00.000Z"
})

/** Activities that succeed at once and touch nothing; `overrides` replaces some. */
export const stubActivities = (overrides: Partial<Activities> = {}): Activities => ({
  clone: async ({ request }) => ({ commit: request.source.ref }),
  build: async ({ commit, request }) => ({
    image: image(request, commit),
    digest,
    buildKey: commit,
    reused: false
  }),
  push: async () => ({ changed: true }),
  deploy: async () => ({ applied: { revision: "1", changes: [] }, pods: [] }),
  verify: async ({ commit, request }) => ({ receipt: stubReceipt(request, commit) }),
  restore: async () => ({}),
  rollback: async ({ target }) => ({ receipt: stubReceipt(stubRequest(target, 1), sha(1)) }),
  deleteService: async () => {},
  deleteProject: async () => {},
  addDomain: async ({ host, target }) => ({ host, target, state: "served" }),
  removeDomain: async () => {},
  ...overrides
})
