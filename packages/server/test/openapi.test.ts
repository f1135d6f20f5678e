import { openApiText } from "../src/OpenApi.ts"
import { expect, it } from "vitest"

it("openapi.json is current (`vitest run --project server -u` writes it)", async () => {
  await expect(openApiText()).toMatchFileSnapshot("../openapi.json")
})
