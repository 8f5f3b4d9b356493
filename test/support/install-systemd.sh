#!/bin/sh
# systemd-notify and systemd-analyze for the tests, where the machine lacks them, in .cache/systemd.
set -eu
cd "$(dirname "$0")/../.."
. test/support/unpack-debian.sh
folder=$PWD/.cache/systemd

command -v systemd-notify >/dev/null && command -v systemd-analyze >/dev/null && exit 0
"$folder/bin/systemd-analyze" --version >/dev/null 2>&1 && exit 0

unpack() {
  unpack_debian "$folder" systemd || return 1
  for program in systemd-notify systemd-analyze; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/root/usr/bin/$program" >"$folder/bin/$program"
    # Before /usr was merged.
    [ -e "$folder/root/usr/bin/$program" ] || sed -i 's#/usr/bin/#/bin/#' "$folder/bin/$program"
    chmod +x "$folder/bin/$program"
  done
  "$folder/bin/systemd-analyze" --version
}

log=$(mktemp)
unpack >"$log" 2>&1 && rm "$log" && exit 0
echo "systemd-notify and systemd-analyze are missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
