/** Parts that are there already: named by the caller, by the environment, or a k3s on this machine. */
import { readFileSync } from "node:fs"

/** Parts that are there already and are used instead of the region's own. */
export interface ExistingParts {
  /** Path of a kubeconfig. */
  readonly kubeconfig?: string
  /** Where that cluster's ingress accepts connections, such as `http://203.0.113.7`. */
  readonly ingress?: string
  /** `unix://…` or `tcp://…`. */
  readonly buildkit?: string
  readonly registry?: { readonly name: string; readonly endpoint: string }
}

const k3sKubeconfig = "/etc/rancher/k3s/k3s.yaml"

const isReadable = (path: string): boolean => {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}

/** What the caller names, completed by a k3s that is installed here. */
export const withK3s = (given: ExistingParts): ExistingParts =>
  given.kubeconfig === undefined && isReadable(k3sKubeconfig)
    ? { ...given, kubeconfig: k3sKubeconfig, ingress: given.ingress ?? "http://127.0.0.1" }
    : given
