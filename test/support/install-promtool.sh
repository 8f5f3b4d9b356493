#!/bin/sh
# promtool and Prometheus for the tests of deploy/monitoring, where the machine lacks them: out of Debian's or Ubuntu's
# package prometheus, unpacked into .cache/promtool. Nothing of the machine is changed, and root is not needed.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/promtool

command -v promtool >/dev/null && command -v prometheus >/dev/null && exit 0
[ -x "$folder/promtool" ] && [ -x "$folder/prometheus" ] && exit 0

private_apt() {
  apt-get -q -o "Dir::State=$folder/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$folder/cache" \
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true "$@"
}

unpack() {
  rm -rf "$folder" && mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root" &&
    private_apt update && cd "$folder" && private_apt download prometheus && dpkg -x prometheus_*.deb root &&
    mv root/usr/bin/promtool root/usr/bin/prometheus . && rm -rf root cache state prometheus_*.deb && ./promtool --version
}

log=$(mktemp)
(unpack) >"$log" 2>&1 && rm "$log" && exit 0
echo "promtool or Prometheus is missing, and could not be unpacked here: see $log" >&2
exit 69 # EX_UNAVAILABLE of sysexits.h
