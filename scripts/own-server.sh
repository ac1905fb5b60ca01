# For scripts that need a server of their own: starts `fechatter up` in $folder, and sets $server and $url.
# The caller ends it. Sourced, not run: start_server PROGRAM [VARIABLE=VALUE…], then a trap of the caller, then await_server.
start_server() {
    local program=$1
    shift
    (cd "$folder" && exec env -u DATABASE_URL FECHATTER_SERVER__PORT=0 FECHATTER_SERVER__ADMIN_PORT=0 RUST_LOG=warn \
        "$@" "$program" up >server.log 2>&1) &
    server=$!
}

await_server() {
    for _ in $(seq 300); do
        grep -q 'Fechatter is ready' "$folder/server.log" 2>/dev/null && break
        kill -0 "$server" 2>/dev/null || { cat "$folder/server.log" >&2; exit 1; }
        sleep 0.2
    done
    url=$(sed -n 's/^Fechatter is ready at //p' "$folder/server.log")
    [ -n "$url" ] || { cat "$folder/server.log" >&2; exit 1; }
}
