# shellcheck shell=bash
# Where things are, for the other scripts. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # read by the scripts that source this one
readonly root

# Cargo may be installed without being on the path (a fresh rustup, a shell that was open before).
if ! command -v cargo >/dev/null 2>&1 && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  export PATH
fi
if ! command -v cargo >/dev/null 2>&1; then
  echo "cargo is not there: install Rust first, https://rustup.rs" >&2
  exit 1
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fleet-scaler
readonly cache

# Outside the checkout, so that the next clone starts warm: the AWS SDK is most of every build.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
# Queries are checked against the data in .sqlx, never against a database that happens to be named in the environment.
export SQLX_OFFLINE=true
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

step() {
  printf '\n== %s\n' "$*"
}
