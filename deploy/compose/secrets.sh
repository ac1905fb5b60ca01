#!/bin/sh
# Makes what nobody should write into a file by hand: passwords, the signing key, and the certificates of PostgreSQL.
# Whatever is there stays as it is; the certificate of PostgreSQL is renewed before it expires. Runs before everything
# else, at each `docker compose up`, without a network.
#
# Each consumer has a volume of its own below $SECRETS and sees no other:
#   authority   the key of the certificate authority; mounted nowhere else
#   postgres    the server's certificate and key, and the passwords of the roles
#   owner       the database as its owner, for migrations, backups and operators' commands
#   server      the database as fechatter_server
#   notify      the database as notify_server
#   signing     the key that signs access tokens
#   verifying   its public half
#   filekeys    the key that encrypts the keys of files
set -eu
umask 077
cd "$SECRETS"

# Written beside, and renamed: a run that was cut off leaves no half of a file.
keep() {
    [ -s "$1" ] && return
    cat > "$1.part"
    [ -s "$1.part" ] && mv "$1.part" "$1"
}
password() { openssl rand -hex 24; }

if [ ! -s authority/ca.crt ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out authority/ca.key
    openssl req -x509 -new -key authority/ca.key -sha256 -days 7300 -subj '/CN=Fechatter database authority' \
        -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
        -out authority/ca.crt.part
    mv authority/ca.crt.part authority/ca.crt
fi

# A certificate of its own: a client refuses the authority's in a server's place.
if ! openssl x509 -checkend 7776000 -noout -in postgres/server.crt >/dev/null 2>&1; then
    printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
        'extendedKeyUsage=serverAuth' 'subjectAltName=DNS:postgres,DNS:localhost' > authority/server.ext
    openssl ecparam -name prime256v1 -genkey -noout -out authority/server.key
    openssl req -new -key authority/server.key -subj '/CN=postgres' -out authority/server.csr
    openssl x509 -req -in authority/server.csr -CA authority/ca.crt -CAkey authority/ca.key -CAcreateserial \
        -sha256 -days 825 -extfile authority/server.ext -out authority/server.crt 2>/dev/null
    # The certificate last: without it this step is done once more.
    rm -f postgres/server.crt
    mv authority/server.key postgres/server.key
    mv authority/server.crt postgres/server.crt
fi

for role in postgres fechatter_owner fechatter_server notify_server; do
    [ -s "postgres/$role.password" ] || password | keep "postgres/$role.password"
done

# Who reaches the database, as which role; TLS with the server's name checked, against the authority that
# PGSSLROOTCERT names.
database_url() {
    echo "postgres://$2:$(cat "postgres/$2.password")@$DATABASE_HOST/fechatter?sslmode=verify-full" | keep "$1/database-url"
    keep "$1/ca.crt" < authority/ca.crt
}
database_url owner fechatter_owner
database_url server fechatter_server
database_url notify notify_server

if [ ! -s signing/signing.pem ]; then
    openssl genpkey -algorithm ed25519 -out signing/signing.pem.part
    mv signing/signing.pem.part signing/signing.pem
fi
openssl pkey -in signing/signing.pem -pubout | keep verifying/verifying.pem

if [ ! -s filekeys/files.pem ]; then
    printf '%s\n' '-----BEGIN FECHATTER FILE KEY-----' "$(openssl rand -base64 32)" \
        '-----END FECHATTER FILE KEY-----' | keep filekeys/files.pem
fi

# The volumes begin as root's; each consumer runs as somebody else.
chown -R "$POSTGRES_UID" postgres
chown -R "$FECHATTER_UID" owner server notify signing verifying filekeys
for folder in $OTHER_FOLDERS; do
    chown "$FECHATTER_UID" "$folder"
done
echo 'The secrets are in place.'
