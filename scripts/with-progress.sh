#!/usr/bin/env bash
# Runs a command and breaks its silences: after ten quiet seconds, and every ten after that, a line says how long it has
# been running and what the compiler is at. One crate of the AWS SDK alone compiles for minutes without a word, and a
# person (or a CI server with an idle limit) cannot tell that from a hang.
#
#   scripts/with-progress.sh LABEL COMMAND [ARGUMENT…]
#
# Standard output and error come out together, line by line; the exit status is the command's.
set -euo pipefail

readonly quiet_s=10

if (($# < 2)); then
  echo "usage: $0 LABEL COMMAND [ARGUMENT…]" >&2
  exit 2
fi
readonly label=$1
shift

# Whether process $1 descends from process $2.
descends() {
  local pid=$1 stat
  while ((pid > 1)); do
    if ((pid == $2)); then
      return 0
    fi
    stat=$(<"/proc/$pid/stat") 2>/dev/null || return 1
    # The name may hold spaces and brackets: the parent is the second field after the last bracket.
    stat=${stat##*) }
    read -r _ pid _ <<<"$stat"
  done
  return 1
}

# The crates that descendants of process $1 are compiling.
compiling() {
  local dir pid argument previous crates=()
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [[ $(cat "$dir/comm" 2>/dev/null || true) =~ ^(rustc|rustdoc|clippy-driver)$ ]] || continue
    descends "$pid" "$1" || continue
    previous=
    while IFS= read -r -d '' argument; do
      if [[ $previous == --crate-name && $argument != ___ ]]; then
        crates+=("$argument")
      fi
      previous=$argument
    done 2>/dev/null <"$dir/cmdline" || true
  done
  if ((${#crates[@]})); then
    printf ', compiling %s' "${crates[*]}"
  fi
}

exec {output}< <("$@" 2>&1)
readonly child=$!
trap 'kill "$child" 2>/dev/null || true' INT TERM

line=
while true; do
  status=0
  IFS= read -r -t "$quiet_s" -u "$output" line || status=$?
  if ((status == 0)); then
    printf '%s\n' "$line"
  elif ((status > 128)); then
    # What was read of an unfinished line so far is not lost.
    if [[ -n $line ]]; then
      printf '%s\n' "$line"
    fi
    printf '… %s: %d min %02d s%s\n' "$label" $((SECONDS / 60)) $((SECONDS % 60)) "$(compiling "$child")"
  else
    printf '%s' "$line"
    break
  fi
done

status=0
wait "$child" || status=$?
exit "$status"
