#!/usr/bin/env bash
# Fills the disk under the database of a server of its own, gives it room again, and compares what was acknowledged with
# what is there; see docs/faults.md. Needs root, for a small disk in memory, and Python 3.
#
# DISK_FULL_PROGRAM fills the disk under another build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/own-server.sh

[ "$(id -u)" = 0 ] || { echo 'A small disk in memory needs root.' >&2; exit 1; }
program=$(realpath "${DISK_FULL_PROGRAM:-${CARGO_TARGET_DIR:-target}/debug/fechatter}")

folder=$(mktemp -d /tmp/fechatter-disk.XXXXXX)
chmod 755 "$folder"
mkdir "$folder/disk"
mount -t tmpfs -o size=160m,mode=755 tmpfs "$folder/disk"
start_server "$program" FECHATTER_DATA_DIR="$folder/disk/data" FECHATTER_LIMITS__ENABLED=false
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; umount "$folder/disk"; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

await_server

PYTHONDONTWRITEBYTECODE=1 timeout 300 python3 scripts/disk_full.py "$url" "$folder/disk"
