#!/usr/bin/env bash
# Unpacks the HAProxys that the tests run against into .cache/haproxy/SUITE: Debian's bookworm carries 2.6, trixie 3.0,
# sid 3.2 or later. Nothing of the machine is changed, and root is not needed: apt's own client reads a private sources
# list, with the mirror that the machine's own sources name, and checks the packages by Debian's keys.
#
# Where that cannot be, on Ubuntu for example, the tests run on the HAProxy in PATH. CI insists on all three.
set -euo pipefail

cd "$(dirname "$0")/../.."
cache=$PWD/.cache/haproxy
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -vE '^\s*#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d " " || true
}

# What this machine lacks, or nothing.
lacking() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "it takes apt-get and dpkg"
  elif [ ! -r "$keyring" ]; then
    echo "it takes Debian's keys in $keyring (package debian-archive-keyring)"
  elif [ -z "$mirror" ]; then
    echo "it takes a Debian mirror among apt's sources"
  fi
}

# HAProxy with all it depends on, down to libc: with an empty status file nothing counts as installed.
# A chain of &&, because set -e has no say in a function that is asked for its success.
unpack() {
  local dir=$cache/$1.partial
  rm -rf "$dir" && mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,root} && touch "$dir/status" || return 1
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$1" "$keyring" >"$dir/list.sources"
  local apt=(apt-get -q -y -o "Dir::Etc::sourcelist=$dir/list.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=$(id -un)")
  "${apt[@]}" update >"$dir/log" 2>&1 &&
    "${apt[@]}" install --no-install-recommends --download-only haproxy >>"$dir/log" 2>&1 &&
    find "$dir/cache/archives" -name "*.deb" -exec dpkg -x {} "$dir/root" \; &&
    run "$dir/root" -v >>"$dir/log" 2>&1 &&
    rm -rf "$dir/cache" "$dir/state" "${cache:?}/$1" &&
    mv "$dir" "$cache/$1"
}

# Suites before trixie keep the loader in /lib64, later ones in /usr/lib64.
run() {
  local root=$1
  shift
  local loader
  loader=$(ls "$root"/usr/lib64/ld-linux-x86-64.so.2 "$root"/lib64/ld-linux-x86-64.so.2 2>/dev/null | head -n 1)
  "$loader" --library-path "$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$root/usr/sbin/haproxy" "$@"
}

mirror=$(mirror)
missing=()
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
for suite in bookworm trixie sid; do
  run "$cache/$suite/root" -v >/dev/null 2>&1 && continue
  if [ -z "$(lacking)" ] && unpack "$suite"; then
    echo "HAProxy of $suite: $(run "$cache/$suite/root" -v | head -n 1)"
  else
    missing+=("$suite")
  fi
done
[ "${#missing[@]}" -eq 0 ] && exit 0

lacking=$(lacking)
echo "HAProxy of ${missing[*]} cannot be had here: ${lacking:-see .cache/haproxy/*.partial/log}" >&2
echo "The tests run on those that are there, and on the one in PATH ($(haproxy -v 2>/dev/null | head -n 1 || true))." >&2
[ "${CI:-}" != true ]
