#!/bin/sh
# Node and its package managers, from their npm packages. In: ARCHITECTURE (as Node names it), NODE, NPM, COREPACK, YARN (versions). Out: layer.tar.
set -eu
fetch() { # package, folder
  mkdir -p "$2"
  tar --no-same-owner -xzf "$(npm pack --silent --ignore-scripts "$1" | tail -n 1)" -C "$2" --strip-components=1
}
local=tree/usr/local
mkdir -p $local/bin
fetch "node-linux-$ARCHITECTURE@$NODE" node
cp node/bin/node $local/bin/node
ln -s node $local/bin/nodejs
fetch "npm@$NPM" $local/lib/node_modules/npm
rm -rf $local/lib/node_modules/npm/docs $local/lib/node_modules/npm/man
ln -s ../lib/node_modules/npm/bin/npm-cli.js $local/bin/npm
ln -s ../lib/node_modules/npm/bin/npx-cli.js $local/bin/npx
fetch "corepack@$COREPACK" $local/lib/node_modules/corepack
ln -s ../lib/node_modules/corepack/dist/corepack.js $local/bin/corepack
fetch "yarn@$YARN" "tree/opt/yarn-v$YARN"
for name in yarn yarnpkg; do ln -s "/opt/yarn-v$YARN/bin/$name" "$local/bin/$name"; done
cp "$RECIPES/files/node-entrypoint.sh" $local/bin/docker-entrypoint.sh
chmod -R u=rwX,go=rX tree
chmod 755 $local/bin/node $local/bin/docker-entrypoint.sh $local/lib/node_modules/npm/bin/np?-cli.js \
  $local/lib/node_modules/corepack/dist/corepack.js tree/opt/yarn-v"$YARN"/bin/yarn tree/opt/yarn-v"$YARN"/bin/yarnpkg
tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C tree -cf layer.tar .
