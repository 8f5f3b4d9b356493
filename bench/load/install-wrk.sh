#!/usr/bin/env bash
# Unpacks Debian's wrk into .cache/wrk. Nothing of the machine is changed, and root is not needed. Without it the
# benchmark uses its own client, which takes more of the machine for itself.
set -euo pipefail

cd "$(dirname "$0")/../.."
dir=$PWD/.cache/wrk
[ -x "$dir/usr/bin/wrk" ] && exit 0
command -v apt-get >/dev/null || { echo "wrk cannot be had here: there is no apt-get" >&2; exit 1; }
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"
apt-get -q download wrk libluajit-5.1-2 >download.log 2>&1 || { echo "wrk cannot be had here (.cache/wrk/download.log)" >&2; exit 1; }
for deb in *.deb; do dpkg -x "$deb" .; done
rm -f ./*.deb
