# For install-*.sh: unpacks Debian's or Ubuntu's packages with what they need into a folder's root/. Nothing of the machine
# is changed, and root is not needed.
#   unpack_debian FOLDER PACKAGE...
# Then `libraries` is where their shared libraries are, for LD_LIBRARY_PATH.
unpack_debian() {
  into=$1
  shift
  rm -rf "$into" && mkdir -p "$into/state/lists/partial" "$into/cache/archives/partial" "$into/root" "$into/bin" || return 1
  for command in update "install --yes --reinstall --download-only --no-install-recommends $*"; do
    # shellcheck disable=SC2086 # words of one command
    apt-get -q -o "Dir::State=$into/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$into/cache" \
      -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true $command || return 1
  done
  for package in "$into"/cache/archives/*.deb; do dpkg -x "$package" "$into/root" || return 1; done
  libraries=$(find "$into/root" -name "lib*.so*" -exec dirname {} + | sort -u | paste -sd :)
  rm -rf "$into/cache" "$into/state"
}
