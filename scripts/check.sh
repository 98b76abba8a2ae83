#!/usr/bin/env bash
# The quick part of the tests, for while one works: format and lints, without the AWS SDK; `make check`.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

cargo fmt --check
scripts/with-progress.sh "cargo clippy" cargo clippy --locked --no-default-features --all-targets -- -D warnings
echo "OK"
