#!/usr/bin/env bash
# Sends what openapi.json allows, and much that it does not, to a running server, and judges every answer by the
# document. Needs the internet once, to install schemathesis (https://schemathesis.io) into .fechatter/.
#
# FUZZ_SEED tells what is sent, FUZZ_EXAMPLES how much for each operation; the two runs repeat that, with more, until
# FUZZ_SECONDS have passed in each.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/own-server.sh

version=4.32.5
seed=${FUZZ_SEED:-20250607}
examples=${FUZZ_EXAMPLES:-60}
seconds=${FUZZ_SECONDS:-150}
program=${CARGO_TARGET_DIR:-target}/debug/fechatter
root=$PWD
venv=$root/.fechatter/fuzz-venv

if ! "$venv/bin/st" --version 2>/dev/null | grep -q " $version\$"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

# Below /tmp, where the user that PostgreSQL runs as can reach it.
folder=$(mktemp -d /tmp/fechatter-fuzz.XXXXXX)
chmod 755 "$folder"
program=$(realpath "$program")
start_server "$program" FECHATTER_LIMITS__ENABLED=false
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

await_server

export FUZZ_SCENE=$folder/scene.json PYTHONPATH=$root/scripts SCHEMATHESIS_HOOKS=fuzz_hooks
export PYTHONDONTWRITEBYTECODE=1
token=$("$venv/bin/python" scripts/fuzz_scene.py "$url" "$FUZZ_SCENE")

# What the document promises; and that wrong requests are refused, and secured operations are secured.
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance
checks+=,response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth

# Schemathesis keeps failed cases where it runs, for `st replay`.
mkdir -p .fechatter/fuzz
cd .fechatter/fuzz

run() {
    echo "== $1"
    shift
    "$venv/bin/st" --config-file "$root/scripts/fuzz.toml" run "$root/openapi.json" --url "$url" \
        --seed "$seed" --max-examples "$examples" --max-time "$seconds" --phases coverage,fuzzing,stateful \
        --checks "$checks" --request-timeout 20 --continue-on-failure \
        --generation-database none --no-color "$@" || failed=1
}

failed=0
# Not asked: what would end the run's own session or account, and the stream, whose answer has no end.
run 'As the owner of a workspace' -H "Authorization: Bearer $token" \
    --exclude-name 'POST /api/auth/signout' --exclude-name 'DELETE /api/users/me' \
    --exclude-name 'GET /api/notifications/events'
run 'Without a token'

if grep -E 'ERROR|panicked' "$folder/server.log" >&2; then
    echo 'The server logged errors.' >&2
    failed=1
fi
exit "$failed"
