#!/bin/sh
# A streaming replica: copies the primary when it has nothing yet, then follows it.
set -eu
export PGPASSWORD="$(cat /run/secrets/replication_password)"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  until pg_basebackup -h postgres -U replication -D "$PGDATA" -X stream -R; do sleep 2; done
  chmod 700 "$PGDATA"
fi
exec postgres
