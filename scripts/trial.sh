#!/usr/bin/env bash
# Runs one of the trials that are too long for the tests; `make recovery`, `make soak`. Its report goes to
# docs/benchmarks. KILLS, MINUTES and SEED in the environment choose how long, and which.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

scripts/with-progress.sh "cargo bench" cargo bench --locked --profile dev --bench trials --no-run
exec cargo bench --quiet --locked --profile dev --bench trials -- "$1"
