#!/bin/sh
# chromium for the tests of pages, where the machine has none, in .cache/chromium.
set -eu
cd "$(dirname "$0")/../.."
. test/support/unpack-debian.sh
folder=$PWD/.cache/chromium

command -v chromium >/dev/null && exit 0
"$folder/bin/chromium" --version >/dev/null 2>&1 && exit 0

unpack() {
  unpack_debian "$folder" chromium fonts-dejavu-core || return 1
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/root/usr/lib/chromium/chromium" >"$folder/bin/chromium"
  chmod +x "$folder/bin/chromium"
  "$folder/bin/chromium" --version
}

log=$(mktemp)
unpack >"$log" 2>&1 && rm "$log" && exit 0
echo "chromium is missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
