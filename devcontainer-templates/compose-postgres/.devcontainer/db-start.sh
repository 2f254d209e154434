#!/bin/sh
# Makes the database in the volume when there is none yet, and serves it.
set -eu
volume=${PGVOLUME:-/var/lib/postgresql/data}

if [ ! -d "$volume/main" ]; then
    rm -rf "$volume/new" # of a first start that was interrupted
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    initdb --pgdata="$volume/new" --username="$POSTGRES_USER" --pwfile="$password" --encoding=UTF8 \
        --auth-local=trust --auth-host=scram-sha-256
    rm "$password"
    echo 'host all all all scram-sha-256' >> "$volume/new/pg_hba.conf"
    printf 'CREATE DATABASE "%s"\n' "$POSTGRES_DB" | postgres --single -D "$volume/new" postgres
    mv "$volume/new" "$volume/main"
fi

exec postgres -D "$volume/main" -c listen_addresses='*'
