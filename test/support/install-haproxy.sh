#!/usr/bin/env bash
# Unpacks the HAProxys that the tests run against into .cache/haproxy/SUITE: Debian's bookworm carries 2.6, trixie 3.0,
# sid 3.2 or later. Nothing of the machine is changed, and root is not needed: apt's own client reads a private sources
# list, with the mirror that the machine's own sources name, and checks the packages by Debian's keys.
set -euo pipefail

cd "$(dirname "$0")/../.."
cache=$PWD/.cache/haproxy
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# HAProxy with all it links: the suites' libraries differ from the machine's.
packages="haproxy libc6 libssl3t64 libssl3 libpcre2-8-0 liblua5.4-0 liblua5.3-0 libcrypt1 zlib1g libsystemd0 libcap2
  libjemalloc2 libzstd1 libgcc-s1 libstdc++6 liblzma5 liblz4-1 libgcrypt20 libgpg-error0"

mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -vE '^\s*#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d " " || true
}

unpack() {
  local suite=$1 dir=$cache/$1.partial
  rm -rf "$dir"
  mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,root}
  touch "$dir/status"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$suite" "$keyring" >"$dir/list.sources"
  local apt=(apt-get -q -o "Dir::Etc::sourcelist=$dir/list.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=$(id -un)")
  "${apt[@]}" update >"$dir/log" 2>&1
  # A library that this suite does not have is not needed there.
  for package in $packages; do (cd "$dir/cache" && "${apt[@]}" download "$package" >>"$dir/log" 2>&1) || true; done
  for deb in "$dir"/cache/*.deb; do dpkg -x "$deb" "$dir/root"; done
  rm -rf "$dir/cache" "$dir/state"
  run "$dir/root" -v >/dev/null
  rm -rf "${cache:?}/$suite"
  mv "$dir" "$cache/$suite"
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
missing=0
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
for suite in bookworm trixie sid; do
  [ -x "$cache/$suite/root/usr/sbin/haproxy" ] && continue
  if [ -n "$mirror" ] && [ -r "$keyring" ] && unpack "$suite"; then
    echo "HAProxy of $suite: $(run "$cache/$suite/root" -v | head -n 1)"
  else
    echo "HAProxy of $suite cannot be had here (its log: .cache/haproxy/$suite.partial/log)" >&2
    missing=1
  fi
done
# The tests run on those that are there; CI insists on all.
[ "$missing" -eq 0 ] || [ "${CI:-}" != true ]
