#!/bin/sh
# redis-server for the tests, where the machine has neither it nor valkey-server, in .cache/redis. No service is started.
set -eu
cd "$(dirname "$0")/../.."
. test/support/unpack-debian.sh
folder=$PWD/.cache/redis

command -v redis-server >/dev/null && exit 0
command -v valkey-server >/dev/null && exit 0
"$folder/bin/redis-server" --version >/dev/null 2>&1 && exit 0

unpack() {
  unpack_debian "$folder" redis-server redis-tools || return 1
  # It goes by its own name: redis-server, redis-check-rdb and redis-check-aof are one program.
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/root/usr/bin/redis-server" >"$folder/bin/redis-server"
  chmod +x "$folder/bin/redis-server"
  "$folder/bin/redis-server" --version
}

log=$(mktemp)
unpack >"$log" 2>&1 && rm "$log" && exit 0
echo "redis-server is missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
