#!/bin/sh
# Makes .sqlx anew: starts a throwaway PostgreSQL, applies the migrations, and compiles the library against it, which
# writes down what every query takes and gives. Run it after a change of a query or a migration, and commit the result.
# Arguments go to cargo (default: --no-default-features; no query is behind a feature).
set -eu
cd "$(dirname "$0")/.."
root=$PWD

bin=$(pg_config --bindir 2>/dev/null || true)
if [ ! -x "$bin/initdb" ]; then
    bin=$(for folder in /usr/lib/postgresql/*/bin; do echo "$folder"; done | sort -V | tail -n 1)
fi
if [ ! -x "$bin/initdb" ]; then
    echo "sqlx-prepare: no initdb found; install PostgreSQL's server (apt-get install postgresql)" >&2
    exit 1
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/sqlx-prepare.XXXXXX")
as() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$work"
    as() { setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
fi
cleanup() {
    as "$bin/pg_ctl" -D "$work/data" -m immediate -w -t 30 stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

cd "$work"
echo "sqlx-prepare: starting PostgreSQL in $work"
as "$bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null
as "$bin/pg_ctl" -D "$work/data" -w -t 60 -l "$work/log" \
    -o "-k $work -c listen_addresses='' -c unix_socket_permissions=0700 -c fsync=off" start >/dev/null
for file in "$root"/migrations/*.sql; do
    "$bin/psql" -X -q -h "$work" -U postgres -v ON_ERROR_STOP=1 --single-transaction -f "$file" postgres
done

cd "$root"
fresh="$work/.sqlx"
mkdir -m 777 "$fresh"
# The macros must expand again: nothing else in the sources changed.
touch src/lib.rs
if [ $# -eq 0 ]; then set -- --no-default-features; fi
DATABASE_URL="postgres://postgres@localhost/postgres?host=$work" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" \
    cargo build --lib "$@"
rm -rf .sqlx
mkdir .sqlx
cp "$fresh"/query-*.json .sqlx/
# And now as everybody else builds.
touch src/lib.rs
cargo build --lib "$@"
echo "sqlx-prepare: $(find .sqlx -name 'query-*.json' | wc -l) queries in .sqlx"
