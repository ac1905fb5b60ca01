#!/bin/sh
# Makes sure that there is an S3 server for the tests: moto (moto[server] of PyPI), in an environment of its own in
# .fechatter/s3-server. Without it these tests say that they were skipped.
set -eu

version=5.2.5

project=$(cd "$(dirname "$0")/.." && pwd)
target=$project/.fechatter/s3-server
if [ -n "${FECHATTER_S3_SERVER-}" ] || [ -e "$target/complete" ]; then exit 0; fi

say() { echo "get-s3-server: $*" >&2; }
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    say "there is no python3 with venv (Debian: apt install python3-venv): tests of files on S3 will be skipped"
    exit 0
fi
say "fetching an S3 server for tests from PyPI (moto $version)"
rm -rf "$target"
if python3 -m venv "$target" \
    && "$target/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$version" >&2
then
    # The last thing: without it this was cut off.
    touch "$target/complete"
else
    say "it could not be fetched: tests of files on S3 will be skipped"
fi
