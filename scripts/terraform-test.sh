#!/usr/bin/env bash
# Formats, validates and tests the Terraform modules, in a copy, so that no lock file or provider lands in the checkout.
#
# Exit status 0: passed. 1: failed. 77: skipped, because Terraform or the AWS provider is not to be had on this machine;
# the reason is the last line.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"

# The provider's version that a local mirror is searched for. The modules themselves accept later ones.
readonly provider=registry.terraform.io/hashicorp/aws/5.100.0

# A folder for `init -plugin-dir`, if some mirror on this machine holds the provider.
find_mirror() {
  local places=() place hit
  for place in "${TF_PLUGIN_DIR:-}" /opt /srv /usr/share /usr/local /usr/lib /var/lib "$HOME"; do
    if [[ -n $place && -d $place ]]; then
      places+=("$place")
    fi
  done
  for place in "${places[@]}"; do
    hit=$(find "$place" -maxdepth 8 \
      \( -name node_modules -o -name target -o -name .git -o -name .cargo -o -name .rustup \) -prune \
      -o -type d -path "*/$provider" -print -quit 2>/dev/null || true)
    if [[ -n $hit ]]; then
      printf '%s\n' "${hit%/"$provider"}"
      return
    fi
  done
}

# Every input and output of a folder stands in its README.
documented() {
  local name missing=0
  while IFS= read -r name; do
    if ! grep -qF "| \`$name\` |" "$1/README.md"; then
      echo "$name is not in the README of ${1#"$copy"/}"
      missing=1
    fi
  done < <(sed -nE 's/^(variable|output) "([a-z_]+)" \{$/\2/p' "$1"/*.tf)
  return "$missing"
}

if ! command -v terraform >/dev/null 2>&1; then
  echo "terraform is not installed: its modules were not checked"
  exit 77
fi

# An environment that names a configuration file which is not there makes every command warn.
if [[ -n ${TF_CLI_CONFIG_FILE:-} && ! -e $TF_CLI_CONFIG_FILE ]]; then
  unset TF_CLI_CONFIG_FILE
fi
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1

terraform fmt -check -diff -recursive "$root/terraform"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# Only what belongs to the project: a provider that somebody's own `init` left behind stays where it is.
(cd "$root/terraform" && find . -type d -name .terraform -prune -o -type f -print0 | tar --null -cf - -T -) | tar -xf - -C "$copy"

init=(init -backend=false -input=false -no-color)
mirror=$(find_mirror)
if [[ -n $mirror ]]; then
  init+=("-plugin-dir=$mirror")
fi

while IFS= read -r versions; do
  dir=$(dirname "$versions")
  printf '\n-- terraform/%s\n' "${dir#"$copy"/}"
  if ! output=$(timeout 120 terraform -chdir="$dir" "${init[@]}" 2>&1); then
    printf '%s\n' "$output"
    if [[ -z $mirror && $output == *"Failed to query available provider packages"* ]]; then
      echo "no registry and no local mirror has the AWS provider: the Terraform modules were formatted only"
      exit 77
    fi
    exit 1
  fi
  terraform -chdir="$dir" validate -no-color
  documented "$dir"
  # `terraform test` is content with no tests at all.
  output=$(terraform -chdir="$dir" test -no-color) || { printf '%s\n' "$output" && exit 1; }
  printf '%s\n' "$output"
  [[ $output =~ Success!\ [1-9][0-9]*\ passed,\ 0\ failed ]] || { echo "no test ran in $dir" && exit 1; }
done < <(find "$copy" -name versions.tf -not -path '*/.terraform/*' | sort)
