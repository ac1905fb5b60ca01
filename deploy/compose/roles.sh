#!/bin/sh
# The roles and the database; run once, when PostgreSQL starts on an empty volume.
#   fechatter_owner   owns the database and everything in it: migrations, backups, operators' commands
#   fechatter_server, notify_server   what the servers sign in as
set -eu
sql() {
    psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres
}
# psql reads the password itself: it stands on no command line and in no log.
role() {
    sql <<SQL
\\set password \`cat "$SECRETS/$1.password"\`
create role $1 login nosuperuser nocreatedb nocreaterole noreplication password :'password';
SQL
}
role fechatter_owner
role fechatter_server
role notify_server
sql <<'SQL'
create database fechatter owner fechatter_owner encoding 'UTF8' template template0;
revoke all on database fechatter from public;
grant connect on database fechatter to fechatter_server, notify_server;
revoke all on database postgres from public;
SQL
