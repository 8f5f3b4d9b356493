#!/bin/sh
# chromium for the tests of pages, where the machine has none: Debian's package with what it needs, unpacked into
# .cache/chromium. Nothing of the machine is changed, and root is not needed.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/chromium

command -v chromium >/dev/null && exit 0
"$folder/bin/chromium" --version >/dev/null 2>&1 && exit 0

private_apt() {
  apt-get -q -o "Dir::State=$folder/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$folder/cache" \
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true "$@"
}

unpack() {
  rm -rf "$folder" && mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root" "$folder/bin" &&
    private_apt update &&
    private_apt install --yes --reinstall --download-only --no-install-recommends chromium fonts-dejavu-core || return 1
  for package in "$folder"/cache/archives/*.deb; do dpkg -x "$package" "$folder/root" || return 1; done
  libraries=$(find "$folder/root" -name "lib*.so*" -exec dirname {} + | sort -u | paste -sd :)
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/root/usr/lib/chromium/chromium" >"$folder/bin/chromium"
  chmod +x "$folder/bin/chromium"
  rm -rf "$folder/cache" "$folder/state"
  "$folder/bin/chromium" --version
}

log=$(mktemp)
unpack >"$log" 2>&1 && rm "$log" && exit 0
echo "chromium is missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
