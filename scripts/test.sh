#!/usr/bin/env bash
# Everything that must hold, cheapest first; `make test`. What is missing is installed first (scripts/test-setup.sh).
# The first step that fails ends it.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

failed_at="the setup"
finish() {
  local status=$?
  if ((status != 0)); then
    printf '\nFAILED at %s after %d min %02d s\n' "$failed_at" $((SECONDS / 60)) $((SECONDS % 60))
  fi
}
trap finish EXIT

run() {
  failed_at=$1
  step "$1"
  shift
  "$@"
}

build() {
  local label=$1
  shift
  run "$label" scripts/with-progress.sh "$label" "$@"
}

skipped=()
terraform_modules() {
  local status=0
  scripts/with-progress.sh "terraform" scripts/terraform-test.sh || status=$?
  if ((status == 77)); then
    skipped+=("the Terraform modules")
  elif ((status != 0)); then
    return "$status"
  fi
}

run "what the tests need" scripts/test-setup.sh
run "cargo fmt" cargo fmt --check
run "shellcheck" shellcheck --external-sources .ci/run scripts/*.sh
run "terraform" terraform_modules
build "cargo clippy" cargo clippy --locked --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" build "cargo doc" cargo doc --locked --no-deps
build "cargo test" cargo test --locked

printf '\nPASSED in %d min %02d s' $((SECONDS / 60)) $((SECONDS % 60))
if ((${#skipped[@]})); then
  printf '; SKIPPED: %s (see above)' "${skipped[*]}"
fi
printf '\n'
