import type { DomainStatus } from "@mcpdeploy/core/DomainManager"
import type { DeployRequest } from "@mcpdeploy/core/domain/DeployRequest"
import type { ServiceTarget } from "@mcpdeploy/core/domain/Identity"
import type { Receipt } from "@mcpdeploy/core/domain/Receipt"
import type * as Steps from "@mcpdeploy/core/pipeline/Steps"
import type { Activities } from "@mcpdeploy/temporal-contract/contract"
import type * as Data from "@mcpdeploy/temporal-contract/data"
import { describe, it } from "@effect/vitest"
import { expectTypeOf } from "vitest"

type Input<Name extends keyof Activities> = Parameters<Activities[Name]>[0]
type Output<Name extends keyof Activities> = Awaited<ReturnType<Activities[Name]>>

// Checked by `tsc`: a field that core adds, drops or changes is an error here.
describe("the plain interfaces are what core's Schemas encode to", () => {
  it("of what is deployed", () => {
    expectTypeOf<Data.DeployRequest>().toEqualTypeOf<typeof DeployRequest.Encoded>()
    expectTypeOf<Data.ServiceTarget>().toEqualTypeOf<typeof ServiceTarget.Encoded>()
    expectTypeOf<Data.Receipt>().toEqualTypeOf<typeof Receipt.Encoded>()
    expectTypeOf<typeof DomainStatus.Encoded>().toExtend<Data.DomainStatus>()
  })

  it("of each step", () => {
    expectTypeOf<Input<"clone">>().toEqualTypeOf<typeof Steps.CloneInput.Encoded>()
    expectTypeOf<Output<"clone">>().toEqualTypeOf<typeof Steps.CloneOutput.Encoded>()
    expectTypeOf<Input<"build">>().toEqualTypeOf<typeof Steps.BuildInput.Encoded>()
    expectTypeOf<Output<"build">>().toEqualTypeOf<typeof Steps.BuildOutput.Encoded>()
    expectTypeOf<Input<"push">>().toEqualTypeOf<typeof Steps.PushInput.Encoded>()
    expectTypeOf<Output<"push">>().toEqualTypeOf<typeof Steps.PushOutput.Encoded>()
    expectTypeOf<Input<"deploy">>().toEqualTypeOf<typeof Steps.RolloutInput.Encoded>()
    expectTypeOf<Output<"deploy">>().toEqualTypeOf<typeof Steps.RolloutOutput.Encoded>()
    expectTypeOf<Input<"verify">>().toEqualTypeOf<typeof Steps.VerifyInput.Encoded>()
    expectTypeOf<Output<"verify">>().toEqualTypeOf<typeof Steps.VerifyOutput.Encoded>()
    expectTypeOf<Input<"restore">>().toEqualTypeOf<typeof Steps.RestoreInput.Encoded>()
    expectTypeOf<Output<"restore">>().toEqualTypeOf<typeof Steps.RestoreOutput.Encoded>()
  })
})
