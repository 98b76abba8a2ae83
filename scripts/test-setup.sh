#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, and nothing else: Debian's packages of Postgres, Prometheus,
# node_exporter, ShellCheck, Chromium with its driver and a C compiler, and a Python environment with moto. On a machine
# that has it all it does nothing and needs neither root nor a network.
#
#   scripts/test-setup.sh          for the tests
#   scripts/test-setup.sh demo     for the demo: Postgres and a C compiler
#   scripts/test-setup.sh pictures for scripts/screenshots.sh: Postgres, a C compiler, Chromium, pngquant
#   scripts/test-setup.sh api      for scripts/schemathesis.sh: the same, curl, and a Python environment with schemathesis
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
readonly purpose=${1:-tests}

have() {
  command -v "$1" >/dev/null 2>&1
}

# Debian keeps the server's programs off the path.
have_postgres() {
  have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

have_venv() {
  have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null
}

# The driver finds a browser of either name.
have_browser() {
  have chromedriver && { have chromium || have google-chrome; }
}

missing_packages() {
  have cc || echo gcc libc6-dev
  have_postgres || echo postgresql
  if [[ $purpose == tests ]]; then
    have prometheus && have promtool || echo prometheus
    have prometheus-node-exporter || have node_exporter || echo prometheus-node-exporter
    have shellcheck || echo shellcheck
    have_browser || echo chromium chromium-driver fonts-dejavu-core
    have_venv || echo python3 python3-venv
  fi
  if [[ $purpose == pictures ]]; then
    have_browser || echo chromium chromium-driver fonts-dejavu-core
    have pngquant || echo pngquant
  fi
  if [[ $purpose == api ]]; then
    have curl || echo curl
    have_venv || echo python3 python3-venv
  fi
}

as_root=()
if ((EUID != 0)); then
  as_root=(sudo -n)
fi

install_packages() {
  local packages=("$@") policy=/usr/sbin/policy-rc.d
  if ! have apt-get; then
    echo "missing: ${packages[*]} (Debian's names). Install them by this system's own means and start again." >&2
    return 1
  fi
  if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    echo "missing: ${packages[*]}. Run: sudo apt-get install ${packages[*]}" >&2
    return 1
  fi
  # The tests start what they need themselves; the packages are not to start services of their own.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt "apt-get update" update
  apt "apt-get install" install -y --no-install-recommends "${packages[@]}"
}

# apt-get says a line for each of a hundred packages; it is shown where something went wrong.
apt() {
  local label=$1 log=$cache/apt.log
  shift
  mkdir -p "$cache"
  # shellcheck disable=SC2016 # expanded by the shell that it is for
  if ! "$root/scripts/with-progress.sh" "$label" bash -c 'log=$1 && shift && "$@" >"$log" 2>&1' - "$log" \
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -qq "$@"; then
    tail -n 40 "$log" >&2
    return 1
  fi
}

# A minimal toolchain comes without them.
rust_components() {
  if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    have rustup || { echo "missing: rustfmt and clippy, and there is no rustup to add them" >&2 && return 1; }
    rustup component add rustfmt clippy
  fi
}

# One environment for each set of requirements, kept outside the checkout; a link in the checkout points at it.
environment() {
  local link=$root/$1 requirements=$root/$2 hash venv
  hash=$({
    cat "$requirements"
    python3 -c 'import sys; print(sys.version, sys.prefix)'
  } | sha256sum | cut -c 1-16)
  venv=$cache/venv-$hash
  if [[ ! -e $venv/complete ]]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$root/scripts/with-progress.sh" "pip install" \
      "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    touch "$venv/complete"
  fi
  if [[ -d $link && ! -L $link ]]; then
    echo "$1 is a folder and not the link that this script makes: remove it and start again." >&2
    return 1
  fi
  ln -sfn "$venv" "$link"
}

read -r -a packages <<<"$(missing_packages | tr '\n' ' ')"
if ((${#packages[@]})); then
  step "Installing ${packages[*]}"
  install_packages "${packages[@]}"
fi
if [[ $purpose == tests ]]; then
  rust_components
  environment .venv tests/moto-requirements.txt
fi
if [[ $purpose == api ]]; then
  environment .venv-api tests/api-requirements.txt
fi
