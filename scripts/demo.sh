#!/usr/bin/env bash
# Builds the program without the AWS SDK, which the demo has no use for, and runs the demo; `make demo`.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

scripts/test-setup.sh demo
step "Building (the first time takes a few minutes)"
scripts/with-progress.sh "cargo build" cargo build --locked --no-default-features
step "The demo"
exec cargo run --quiet --locked --no-default-features -- demo "$@"
