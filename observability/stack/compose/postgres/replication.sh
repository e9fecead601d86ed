#!/bin/sh
# Run once by the image, when the database is made: the role that the replica reads with.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$(cat /run/secrets/replication_password)" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'password';
SQL
echo "host replication replication all scram-sha-256" >>"$PGDATA/pg_hba.conf"
