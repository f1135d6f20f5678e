import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    projects: [
      "ansible",
      "examples/plain-machines",
      "examples/product-plane",
      "packages/attacks",
      "packages/cli",
      "packages/core",
      "packages/local-region",
      "packages/provider-cloudflare",
      "packages/provider-conformance",
      "packages/provider-gitea",
      "packages/provider-hetzner",
      "packages/provider-k3s",
      "packages/server",
      "packages/temporal-adapter",
      "packages/temporal-contract",
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
    // More than two cores: most of the time is spent waiting for servers.
    maxWorkers: 3
  }
})
