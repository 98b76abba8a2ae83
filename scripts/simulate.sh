#!/usr/bin/env bash
# Runs the simulator, without the AWS SDK; `make simulate`. What to run comes in the environment:
#
#   SEED=7          one simulated day, told line by line
#   SEEDS=10000     the days from seed 0 (the default)
#   BUG=name        with a planted bug, until it is found; BUG=list names them
#   POSTGRES=200    the days from seed 0 over a real Postgres, held against the same days over memory
#   CELL=drain/37/dies-after   one cell of the crash matrix, told line by line; CELL=all tells every one
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

arguments=()
if [[ -n ${BUG:-} ]]; then
  arguments+=(--bug "$BUG")
fi
if [[ -n ${CELL:-} ]]; then
  arguments+=(--cell "$CELL")
elif [[ -n ${POSTGRES:-} ]]; then
  arguments+=(--postgres "$POSTGRES")
elif [[ -n ${SEED:-} ]]; then
  arguments+=(--seed "$SEED")
elif [[ -n ${SEEDS:-} || -z ${BUG:-} ]]; then
  arguments+=(--seeds "${SEEDS:-10000}")
fi

# Optimised: a few minutes of building, and then ten times the days in the same time.
build=(cargo build --locked --release --no-default-features --test simulate)
scripts/with-progress.sh "cargo build" "${build[@]}" --message-format=short
program=$("${build[@]}" --message-format=json 2>/dev/null |
  sed -nE 's/.*"name":"simulate".*"executable":"([^"]+)".*/\1/p' | tail -n 1)
exec "$program" "${arguments[@]}"
