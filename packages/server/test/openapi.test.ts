import { openApiText } from "@mcpdeploy/server/OpenApi"
import { expect, it } from "vitest"

it("openapi.json is current (`vitest run --project server -u` writes it)", async () => {
  await expect(openApiText()).toMatchFileSnapshot("../openapi.json")
})
