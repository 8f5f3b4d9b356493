#!/bin/sh
# Fetches the old Nodes that the tests start Countersign with, from the npm registry into .cache/node/VERSION.
set -eu
cd "$(dirname "$0")/../.."

platform=$(node_modules/.bin/node -p 'process.platform + "-" + process.arch')
for version in 12.22.12 20.20.2; do
  folder=.cache/node/$version
  "$folder/package/bin/node" --version >/dev/null 2>&1 && continue
  rm -rf "$folder" && mkdir -p "$folder"
  npm pack --silent --pack-destination "$folder" "node-$platform@$version" >/dev/null &&
    tar -xzf "$folder"/*.tgz -C "$folder" package/bin/node && rm "$folder"/*.tgz && continue
  echo "Node $version cannot be fetched from the npm registry" >&2
  exit 69 # EX_UNAVAILABLE of sysexits.h
done
