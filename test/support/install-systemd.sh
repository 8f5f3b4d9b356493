#!/bin/sh
# systemd-notify and systemd-analyze for the tests, where the machine lacks them: Debian's or Ubuntu's package with what
# it needs, unpacked into .cache/systemd. Nothing of the machine is changed, and root is not needed.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/systemd

command -v systemd-notify >/dev/null && command -v systemd-analyze >/dev/null && exit 0
"$folder/bin/systemd-analyze" --version >/dev/null 2>&1 && exit 0

private_apt() {
  apt-get -q -o "Dir::State=$folder/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$folder/cache" \
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true "$@"
}

unpack() {
  rm -rf "$folder" && mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root" "$folder/bin" &&
    private_apt update && private_apt install --yes --reinstall --download-only --no-install-recommends systemd || return 1
  for package in "$folder"/cache/archives/*.deb; do dpkg -x "$package" "$folder/root" || return 1; done
  libraries=$(find "$folder/root" -name "lib*.so*" -exec dirname {} + | sort -u | paste -sd :)
  for program in systemd-notify systemd-analyze; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$folder/root/usr/bin/$program" >"$folder/bin/$program"
    # Before /usr was merged.
    [ -e "$folder/root/usr/bin/$program" ] || sed -i 's#/usr/bin/#/bin/#' "$folder/bin/$program"
    chmod +x "$folder/bin/$program"
  done
  rm -rf "$folder/cache" "$folder/state"
  "$folder/bin/systemd-analyze" --version
}

log=$(mktemp)
unpack >"$log" 2>&1 && rm "$log" && exit 0
echo "systemd-notify and systemd-analyze are missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
