# deployer-worker, deployer-server and mcpdeploy, from the sources that Node runs as they are:
#   node packages/temporal-adapter/src/worker/main.ts
#   node packages/server/src/main.ts
#   node packages/cli/src/main.ts
FROM node:24 AS install
WORKDIR /app
# What the lock file names is fetched once for each lock file.
COPY pnpm-lock.yaml pnpm-workspace.yaml ./
RUN npx --yes pnpm@12 fetch --store-dir /store && rm -rf node_modules
COPY . .
# For the processes and the packages that they need. Not --prod: Effect is a peer of the packages.
RUN npx --yes pnpm@12 install --offline --frozen-lockfile --store-dir /store \
    --filter "@mcpdeploy/temporal-adapter..." --filter "@mcpdeploy/server..." --filter "@mcpdeploy/cli..." \
    && node packages/temporal-adapter/src/worker/bundle.ts workflows.js

# Has git, which GitSource runs.
FROM node:24
ENV NODE_ENV=production MCPDEPLOY_WORKFLOW_BUNDLE=/app/workflows.js
WORKDIR /app
COPY --from=install /app .
USER 1000:1000
CMD ["node", "packages/temporal-adapter/src/worker/main.ts"]
