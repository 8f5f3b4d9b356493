#!/bin/sh
# What `npm run demo` starts: finds or fetches what the demo needs, then runs demo/demo.ts. Nothing of the machine is
# changed and root is not needed: everything stays in node_modules/ and .cache/.
set -eu
cd "$(dirname "$0")/.."

node=node_modules/.bin/node
demo=.cache/demo
missing=69 # EX_UNAVAILABLE of sysexits.h

say() { echo "demo: $*" >&2; }

# Whether `haproxy -v` names a version that the demo's haproxy.cfg is written for: 2.6 or later.
fits() {
  "$1" -v 2>/dev/null | awk '/^HA-?Proxy version/ { split($3, v, "."); ok = v[1] > 2 || v[1] == 2 && v[2] + 0 >= 6 } END { exit !ok }'
}

# wrapper ROOT COMMAND...: a script that runs the HAProxy unpacked under ROOT.
wrapper() {
  root=$1
  shift
  mkdir -p "$demo"
  { echo "#!/bin/sh"; printf 'exec'; printf ' "%s"' "$@" "$root/usr/sbin/haproxy"; echo ' "$@"'; } >"$demo/haproxy"
  chmod +x "$demo/haproxy"
  haproxy=$PWD/$demo/haproxy
  fits "$haproxy"
}

libraries() { ls -d "$1"/usr/lib/*-linux-gnu "$1"/lib/*-linux-gnu 2>/dev/null | paste -sd :; }

# Those of the tests (test/support/install-haproxy.sh) come with a libc of their own, and so with its loader.
unpacked_by_tests() {
  for root in "$PWD"/.cache/haproxy/*/root; do
    for loader in "$root"/usr/lib64/ld-linux-x86-64.so.2 "$root"/lib64/ld-linux-x86-64.so.2; do
      [ -e "$loader" ] && wrapper "$root" "$loader" --library-path "$(libraries "$root")" && return
    done
  done
  return 1
}

unpacked() {
  [ -x "$demo/root/usr/sbin/haproxy" ] &&
    wrapper "$PWD/$demo/root" env "LD_LIBRARY_PATH=$(libraries "$PWD/$demo/root")"
}

# The distribution's own package with the libraries that this machine lacks, as apt finds and verifies them, but kept to
# a folder: apt's state is a private one, and as nothing is installed no service is started.
unpack() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  say "unpacking the distribution's HAProxy into $demo (log: $demo/apt.log)"
  apt=$PWD/$demo/apt
  rm -rf "$apt" "$demo/root"
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$demo/root"
  {
    private_apt update && private_apt install --yes --download-only --no-install-recommends haproxy
  } >"$demo/apt.log" 2>&1 || return 1
  for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$demo/root" || return 1; done
  rm -rf "$apt"
  unpacked
}

private_apt() {
  apt-get -q -o "Dir::State=$apt/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$apt/cache" \
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true "$@"
}

sh demo/dependencies.sh

# The mesh's part needs no HAProxy.
case " $* " in *" --mesh "*) exec "$node" demo/demo.ts "$@" ;; esac

# Not everybody's PATH has the directory that Debian keeps it in.
haproxy=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v haproxy) || haproxy=
if ! { [ -n "$haproxy" ] && fits "$haproxy"; } && ! unpacked && ! unpacked_by_tests && ! unpack; then
  say "HAProxy 2.6 or later is missing and could not be unpacked here. Install it, then run the demo again:"
  say "  Debian 12, Ubuntu 24.04 and later: apt-get install haproxy      older ones: https://haproxy.debian.net"
  exit $missing
fi

HAPROXY=$haproxy exec "$node" demo/demo.ts "$@"
