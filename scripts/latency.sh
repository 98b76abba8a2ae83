#!/usr/bin/env bash
# Measures how long the API's readers wait, with 50 fleets of 200 hosts and a month of history; `make latency`. Its
# report goes to docs/benchmarks. It needs no AWS SDK. ROUNDS in the environment says how often each question is asked.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

bench=(cargo bench --locked --profile dev --no-default-features --bench latency)
scripts/with-progress.sh "cargo bench" "${bench[@]}" --no-run
exec "${bench[@]}" --quiet
