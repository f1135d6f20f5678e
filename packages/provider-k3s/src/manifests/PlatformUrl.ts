/** PlatformUrl: where people reach a service. */
import type { RegionConfig } from "../RegionConfig.ts"

/** The address at which people reach a service. Behind a local endpoint its scheme and port are the endpoint's. */
export const urlOf = ({ ingressEndpoint }: RegionConfig, host: string, path: string): string => {
  if (ingressEndpoint === undefined) return `https://${host}${path}`
  const { port, protocol } = new URL(ingressEndpoint)
  return `${protocol}//${host}${port === "" ? "" : `:${port}`}${path}`
}
