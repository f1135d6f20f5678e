/** AdmissionFile: the text of a region's `k8s/admission.yaml`. */
import type { PlatformDomain } from "@mcpdeploy/core/domain/PlatformHost"
import { stringify } from "yaml"
import { RegionConfig } from "../RegionConfig.ts"
import { admissionObjects } from "./Admission.ts"

const head = `# What the cluster refuses in customer namespaces. Written by \`mcpdeploy region new\`, and by the test of @mcpdeploy/provider-k3s
# (\`vitest --project provider-k3s -u admission\`), from src/manifests/Admission*.ts.
`

/** What refuses a customer the platform's own names is made of its domain. */
export const admissionFile = (platformDomain: PlatformDomain): string =>
  head +
  admissionObjects(new RegionConfig({ platformDomain }))
    .map((each) => stringify(each, { lineWidth: 0 }))
    .join("---\n")
