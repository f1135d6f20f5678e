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
        // On a busy machine a wait for a real server can run out; a test that fails twice has failed. `layer` of
        // @effect/vitest survives this only with a name: without one it counts runs, and ends before the last test.
        retry: process.env["CI"] === undefined ? 0 : 1,
        testTimeout: 240_000,
        hookTimeout: 120_000
      }
    })),
    // More than two cores: most of the time is spent waiting for servers.
    maxWorkers: 3
  }
})
