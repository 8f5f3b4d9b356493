#!/bin/sh
# redis-server for the tests, where the machine has neither it nor valkey-server: Debian's or Ubuntu's package with what
# it needs, unpacked into .cache/redis. Nothing of the machine is changed, root is not needed, and no service is started.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/redis

command -v redis-server >/dev/null && exit 0
command -v valkey-server >/dev/null && exit 0
"$folder/bin/redis-server" --version >/dev/null 2>&1 && exit 0

private_apt() {
  apt-get -q -o "Dir::State=$folder/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$folder/cache" \
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true "$@"
}

unpack() {
  rm -rf "$folder" && mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root" "$folder/bin" &&
    private_apt update &&
    private_apt install --yes --reinstall --download-only --no-install-recommends redis-server redis-tools || return 1
  for package in "$folder"/cache/archives/*.deb; do dpkg -x "$package" "$folder/root" || return 1; done
  libraries=$(find "$folder/root" -name "lib*.so*" -exec dirname {} + | sort -u | paste -sd :)
  # It goes by its own name: redis-server, redis-check-rdb and redis-check-aof are one program.
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/root/usr/bin/redis-server" >"$folder/bin/redis-server"
  chmod +x "$folder/bin/redis-server"
  rm -rf "$folder/cache" "$folder/state"
  "$folder/bin/redis-server" --version
}

log=$(mktemp)
unpack >"$log" 2>&1 && rm "$log" && exit 0
echo "redis-server is missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
