#!/usr/bin/env bash
# Attacks a server of its own, on this machine only, and prints what everybody else noticed; see docs/security-tests.md.
# Needs slowhttptest, h2load (Debian: nghttp2-client) and Python 3.
#
# SECURITY_SECONDS (10, at most 60) is how long each attack lasts, three times; SECURITY_PROGRAM attacks another build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/own-server.sh

for tool in slowhttptest h2load python3; do
    command -v "$tool" >/dev/null || {
        echo "$tool is missing (Debian: apt install slowhttptest nghttp2-client python3)" >&2
        exit 1
    }
done
program=$(realpath "${SECURITY_PROGRAM:-${CARGO_TARGET_DIR:-target}/release/fechatter}")
seconds=${SECURITY_SECONDS:-10}
[ "$seconds" -ge 5 ] && [ "$seconds" -le 60 ] || { echo 'SECURITY_SECONDS must be from 5 to 60' >&2; exit 1; }

# Below /tmp, where the user that PostgreSQL runs as can reach it.
folder=$(mktemp -d /tmp/fechatter-security.XXXXXX)
chmod 755 "$folder"
start_server "$program"
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

await_server

PYTHONDONTWRITEBYTECODE=1 timeout "$((90 * seconds + 300))" \
    python3 scripts/security_tests.py "$url" "$server" "$seconds"

if grep -E 'ERROR|panicked' "$folder/server.log" >&2; then
    echo 'The server logged errors.' >&2
    exit 1
fi
