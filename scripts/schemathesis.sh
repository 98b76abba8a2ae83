#!/usr/bin/env bash
# Asks the API what its own description promises, thousands of times over: `make api-test`. schemathesis makes requests
# from the OpenAPI document, right ones and wrong ones, and sees that no answer is an error of ours, that every answer
# looks as described, and that what breaks the description is refused. CASES=150 is how many it makes of each resource.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"
readonly cases=${CASES:-150}

scripts/test-setup.sh api
scripts/with-progress.sh "cargo build" cargo build --locked --no-default-features

work=$(mktemp -d "${TMPDIR:-/tmp}/fleet-scaler-api.XXXXXX")
service=
cleanup() {
  if [[ -n $service ]]; then
    kill "$service" 2>/dev/null || true
    wait "$service" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

mkdir -p "$work/config/fleets"
cat >"$work/config/fleet-scaler.toml" <<TOML
[database]
url = "embedded"
data_dir = "$work/data"

[http]
listen = "127.0.0.1:${PORT:-18473}"

[service]
owner = "api-test"

[provider.simulated]
seed = 1
TOML
cp config/fleets/web.toml "$work/config/fleets/web.toml"

readonly base=http://127.0.0.1:${PORT:-18473}
"$CARGO_TARGET_DIR/debug/fleet-scaler" serve --config "$work/config" >"$work/log" 2>&1 &
service=$!
for _ in $(seq 300); do
  if curl -sf "$base/readyz" >/dev/null; then
    break
  fi
  if ! kill -0 "$service" 2>/dev/null; then
    cat "$work/log" >&2
    exit 1
  fi
  sleep 0.2
done
curl -sf "$base/readyz" >/dev/null || { cat "$work/log" >&2 && exit 1; }

# The first value of a field, in an answer of the API.
first() {
  curl -sf "$base/api/v1$1" | grep -o "\"$2\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4
}

# What no description can say: which fleet, decision, host and action there are, and what a cursor looks like, and that a
# span begins before it ends.
until [[ -n $(first '/fleets/web/hosts?limit=1' next) && -n $(first '/decisions?limit=1' next) ]]; do
  sleep 0.2
done
ask() {
  curl -sf "$base/api/v1/fleets/web/evaluate" -H 'content-type: application/json' -d '{"reason": "the API is tested"}'
}
ask >/dev/null
action=$(ask | grep -o '"action_id":"[^"]*"' | cut -d '"' -f 4)
cat >"$work/schemathesis.toml" <<TOML
[parameters]
"path.fleet" = "web"

[[operations]]
include-path = "/decisions"
parameters = { "query.fleet" = "web", "query.cursor" = "$(first '/decisions?limit=1' next)" }

[[operations]]
include-path = "/actions"
parameters = { "query.fleet" = "web", "query.cursor" = "$(first '/actions?limit=1' next)" }

[[operations]]
include-path = "/events"
parameters = { "query.fleet" = "web", "query.cursor" = "$(first '/events?limit=1' next)" }

[[operations]]
include-path = "/fleets/{fleet}/hosts"
parameters = { "query.cursor" = "$(first '/fleets/web/hosts?limit=1' next)" }

[[operations]]
include-path = "/fleets/{fleet}/series"
parameters = { "query.since" = "2h", "query.until" = "1m" }

[[operations]]
include-path = "/decisions/{id}"
parameters = { "path.id" = "$(first '/decisions?limit=1' decision_id)" }

[[operations]]
include-path = "/actions/{id}"
parameters = { "path.id" = "$action" }

[[operations]]
include-path = "/fleets/{fleet}/hosts/{id}/drain"
parameters = { "path.id" = "$(first '/fleets/web/hosts?limit=1' instance_id)" }
TOML

# The stream never ends, and is tested in tests/it/http/stream.rs. The rate is below the one at which the API slows its clients down.
options=(--url "$base/api/v1" --exclude-path /stream --checks all --seed 1 --generation-deterministic --no-color
  --suppress-health-check all --phases 'examples,coverage,fuzzing' --rate-limit 9/s --request-timeout 20
  --continue-on-failure --max-examples "$cases")
status=0
cd "$work"
"$root/.venv-api/bin/schemathesis" --config-file "$work/schemathesis.toml" \
  run "$base/api/v1/openapi.json" "${options[@]}" "$@" || status=$?
if ! kill -0 "$service" 2>/dev/null; then
  echo "the service did not survive it:" >&2
  tail -n 40 "$work/log" >&2
  exit 1
fi
((status == 0))
