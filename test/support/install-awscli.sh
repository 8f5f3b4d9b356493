#!/bin/sh
# Fetches the AWS CLI, whose tokens the tests take, from PyPI into .cache/awscli/VERSION. It signs offline, with keys of
# AWS's documentation. Where it cannot be had the tests say so, and go on with the tokens that it has printed elsewhere.
# CI insists on it.
set -eu
cd "$(dirname "$0")/../.."

version=1.46.3
needs="colorama==0.4.6 docutils==0.19 jmespath==1.1.0 pyasn1==0.6.5 python-dateutil==2.9.0.post0 PyYAML==6.0.4 rsa==4.7.2
  six==1.17.0 urllib3==2.8.0"
folder=.cache/awscli/$version
[ -f "$folder/bin/aws" ] && exit 0
rm -rf .cache/awscli && mkdir -p "$folder.partial"
# shellcheck disable=SC2086 # they are several
if python3 -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
  --no-deps --target "$folder.partial" "awscli==$version" $needs >"$folder.log" 2>&1 &&
  PYTHONPATH=$folder.partial python3 "$folder.partial/bin/aws" --version >>"$folder.log" 2>&1; then
  mv "$folder.partial" "$folder"
  exit 0
fi
echo "The AWS CLI cannot be had here: it takes python3 with pip, and PyPI; see $folder.log" >&2
[ "${CI:-}" != true ]
