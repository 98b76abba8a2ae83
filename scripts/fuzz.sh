#!/usr/bin/env bash
# Fuzzes what strangers and operators write; `make fuzz`.
#
#   scripts/fuzz.sh [TARGET] [SECONDS]     default: every target, 60 seconds each
#
# The first build takes ten minutes and more: everything is compiled anew, instrumented. libFuzzer needs a compiler that
# takes unstable flags; RUSTC_BOOTSTRAP lets the stable one take them. What was found interesting is kept outside the
# checkout, so that the next run goes on where this one ended; an input that fails is kept beside it, and named. Put it
# into tests/data/fuzz/TARGET/ as found-WHAT and mend the code: the tests replay it.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root/fuzz"

readonly seconds=${2:-60}
if [[ -n ${1:-} ]]; then
  targets=("$1")
else
  targets=(exposition configuration)
fi

if ! cargo fuzz --version >/dev/null 2>&1; then
  "$root/scripts/with-progress.sh" "cargo install cargo-fuzz" cargo install --locked cargo-fuzz
fi
export RUSTC_BOOTSTRAP=1

# The pages and folders of other tests, as inputs.
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
mkdir "$seeds/exposition" "$seeds/configuration"
cp "$root"/tests/data/*.txt "$seeds/exposition"
for folder in "$root"/config "$root"/tests/golden/config/*; do
  if [[ -e $folder/fleet-scaler.toml && -e $folder/fleets/web.toml ]]; then
    {
      cat "$folder/fleet-scaler.toml"
      printf '\n=== fleet ===\n'
      cat "$folder/fleets/web.toml"
    } >"$seeds/configuration/$(basename "$folder").toml"
  fi
done

"$root/scripts/with-progress.sh" "cargo fuzz build" cargo fuzz build
# A folder of configuration is written for every input: in memory, where there is room.
if [[ -w /dev/shm ]]; then
  export TMPDIR=/dev/shm
fi
for target in "${targets[@]}"; do
  step "$target for $seconds s"
  corpus=$cache/fuzz/$target
  mkdir -p "$corpus" "$cache/fuzz/failed"
  cargo fuzz run "$target" "$corpus" "$root/tests/data/fuzz/$target" "$seeds/$target" -- \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
    -dict="$root/fuzz/$target.dict" -artifact_prefix="$cache/fuzz/failed/$target-"
done
