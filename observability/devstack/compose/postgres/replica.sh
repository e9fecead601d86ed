#!/usr/bin/env bash
# Entrypoint of the replica: copy the primary once, then stream its changes. A promoted replica stays a primary after a restart.
set -euo pipefail
: "${PGDATA:?names the data folder}"
primary=${EVARA_PRIMARY_HOST:-postgres} port=${EVARA_PRIMARY_PORT:-5432}
slot=replica
passfile=$(mktemp)
printf '%s:%s:*:replication:%s\n' "$primary" "$port" "$(cat "${EVARA_SECRETS:-/run/secrets}/replication_password")" >"$passfile"
export PGPASSFILE=$passfile PGCONNECT_TIMEOUT=5
from="host=$primary port=$port user=replication application_name=$slot"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  until pg_isready --quiet --host "$primary" --port "$port"; do
    echo "replica: $primary:$port does not answer yet"
    sleep 1
  done
  # A new slot keeps all WAL from now on until this replica has received it; an old slot may have lost some.
  psql --no-psqlrc --quiet --tuples-only --set ON_ERROR_STOP=1 "$from dbname=postgres" >/dev/null <<SQL
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$slot' AND NOT active;
SELECT pg_create_physical_replication_slot('$slot', true);
SQL
  rm -rf "$PGDATA.part" # left by an interrupted copy
  pg_basebackup --dbname "$from" --pgdata "$PGDATA.part" --wal-method stream --slot "$slot" --checkpoint fast --no-password
  touch "$PGDATA.part/standby.signal"
  rm -rf "$PGDATA" && mv "$PGDATA.part" "$PGDATA"
  echo "replica: copied from $primary:$port"
fi

exec postgres -D "$PGDATA" -c config_file="${EVARA_POSTGRES_CONFIG:-/etc/postgresql/postgresql.conf}" \
  -c primary_conninfo="$from passfile=$passfile" -c primary_slot_name="$slot" "$@"
