/** Ownership: whose an object is, by the label `mcpdeploy-region`. */
import type { HetznerConflict } from "./Change.ts"
import { regionLabel } from "./DesiredState.ts"

/** An object with a name of the region's, but without its label. */
export type Ownership = "owned" | "unlabelled" | "foreign"

export const ownershipOf = (
  labels: Readonly<Record<string, string>>,
  { region }: { readonly region: string }
): Ownership =>
  labels[regionLabel] === region ? "owned" : labels[regionLabel] === undefined ? "unlabelled" : "foreign"

/** What to do about an object of the region's name that is not the region's. */
export const inTheWay = (
  resource: string,
  labels: Readonly<Record<string, string>>,
  { region }: { readonly region: string }
): HetznerConflict => ({
  resource,
  detail:
    labels[regionLabel] === undefined
      ? `it is there without the label ${regionLabel}, and is not as wanted: label it ${regionLabel}=${region} to hand it over, or rename it`
      : `it belongs to region ${labels[regionLabel]}`
})
