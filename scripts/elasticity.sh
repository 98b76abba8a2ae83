#!/usr/bin/env bash
# Judges the shipped decision beside models of what others ship; `make elasticity`. The first argument is a folder of
# traces; without one, or with an empty one, the benchmark's own are taken. CHARTS names a folder to draw pictures into. The
# exit code says whether the targets hold.
set -euo pipefail

traces=${1:-}
# Before the change of folder, so that it may be relative to where the caller stands.
if [[ -n $traces ]]; then
  traces=$(realpath -m -- "$traces")
fi
if [[ -n ${CHARTS:-} ]]; then
  CHARTS=$(realpath -m -- "$CHARTS")
  export CHARTS
else
  unset CHARTS
fi

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

scripts/with-progress.sh "cargo bench" cargo bench --locked --no-default-features --bench elasticity --no-run
exec cargo bench --quiet --locked --no-default-features --bench elasticity -- "$traces"
