#!/bin/sh
# Dumps the database now and every day, keeps seven; a dump has its name only when it is whole.
set -eu
export PGPASSWORD="$(cat /run/secrets/postgres_password)"
while :; do
  name="/backup/evara-$(date -u +%Y%m%dT%H%M%SZ).dump"
  pg_dump -h postgres -U evara -d evara -Fc -f "$name.part" && mv "$name.part" "$name"
  ls -1 /backup/*.dump | head -n -7 | xargs -r rm --
  sleep 86400 & wait $!
done
