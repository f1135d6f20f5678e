import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    projects: [
      "packages/cli",
      "packages/core",
      "packages/local-region",
      "packages/provider-k3s",
      "scripts"
    ].map((root) => ({
      test: {
        name: root.split("/").at(-1) ?? root,
        root,
        include: ["test/**/*.test.ts"],
        testTimeout: 240_000,
        hookTimeout: 120_000
      }
    })),
    maxWorkers: 2
  }
})
