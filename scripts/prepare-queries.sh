#!/bin/sh
# Writes .sqlx/, the data that lets queries be checked without a database:
# compiles every query against a fresh database with the project's migrations.
#
#   prepare-queries.sh          renews .sqlx/
#   prepare-queries.sh --check  fails when .sqlx/ is not what that would write
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}

fresh=$(mktemp -d "${TMPDIR:-/tmp}/fechatter-queries.XXXXXX")
trap 'rm -rf "$fresh"' EXIT INT TERM

# The macros write while they expand, so what was compiled before is forgotten;
# in a target folder of its own, in order not to compile the rest again.
target=${CARGO_TARGET_DIR:-target}/prepare
for crate in chat_core fechatter fechatter_server notify_server; do
    rm -rf "$target"/debug/.fingerprint/"$crate"-*
done
SQLX_OFFLINE=true $CARGO build --quiet -p local_postgres
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" \
    "${CARGO_TARGET_DIR:-target}/debug/with_local_postgres" --migrations migrations -- \
    $CARGO check --quiet --target-dir "$target" -p chat_core -p fechatter -p fechatter_server -p notify_server

if [ "${1:-}" = --check ]; then
    diff -r .sqlx "$fresh" >/dev/null 2>&1 || {
        echo '.sqlx/ is not what the queries say: run `make prepare`' >&2
        exit 1
    }
else
    rm -rf .sqlx
    mkdir .sqlx
    cp "$fresh"/*.json .sqlx/
fi
