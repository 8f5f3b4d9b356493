#!/bin/sh
# helm and kustomize for the tests of deploy/, built by Go into .cache/kubernetes. Neither is packaged by Debian. Where
# there is no Go, or nowhere to have the modules from, the tests that render the chart say so and are skipped; those of
# what it was rendered into run.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/kubernetes

[ -x "$folder/helm" ] && [ -x "$folder/kustomize" ] && exit 0
if ! command -v go >/dev/null; then
  echo "no Go here: helm and kustomize are not built, and the chart is not rendered by the tests" >&2
  exit 0
fi
mkdir -p "$folder"
export GOBIN="$folder" GOFLAGS=-trimpath
log=$folder/log
if go install helm.sh/helm/v3/cmd/helm@v3.22.0 >"$log" 2>&1 &&
  go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 >>"$log" 2>&1; then
  echo "helm and kustomize are in .cache/kubernetes"
else
  echo "helm and kustomize cannot be built here, see $log: the chart is not rendered by the tests" >&2
fi
