#!/bin/sh
# Installs what package-lock.json names into node_modules/, a new enough Node among it, unless it is there.
set -eu
cd "$(dirname "$0")/.."

# npm writes .package-lock.json last, so without it an installation was cut short.
installed() {
  [ -f node_modules/.package-lock.json ] &&
    node_modules/.bin/node -e 'process.exit(Number.parseInt(process.versions.node) >= 24 ? 0 : 1)' 2>/dev/null
}

installed && exit 0
echo "installing the dependencies with npm ci" >&2
npm ci --include=dev --no-audit --no-fund --loglevel=error >&2 && installed && exit 0
echo "npm ci failed. With access to the npm registry, run it by hand: npm ci --include=dev" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
