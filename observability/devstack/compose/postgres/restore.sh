#!/usr/bin/env bash
# Restore a dump beside the database evara, then exchange the two. `make restore` runs this in the container of PostgreSQL.
#
#   restore.sh fill <DUMP   restore the dump into the database evara_restored; nothing else changes
#   restore.sh switch       rename evara to evara_before, and evara_restored to evara
#   restore.sh undo         rename them back; does nothing without evara_before
#   restore.sh finish       drop evara_before and evara_restored
#
# While evara_before exists, fill and switch are refused: it may be the only copy of the former data.
set -euo pipefail
export PGUSER=${PGUSER:-postgres} PGCONNECT_TIMEOUT=5 PGDATABASE=postgres
PGPASSWORD=$(cat "${EVARA_SECRETS:-/run/secrets}/superuser_password")
export PGPASSWORD
psql=(psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1)

require_no_former() {
  [ -n "$former" ] || return 0
  local run="docker compose exec postgres bash $0"
  echo "restore: error: the database evara_before has the data from before an earlier restore;" \
    "fix: $run finish, which drops it, or $run undo, which puts it back into use" >&2
  return 1
}

fill() { # a broken dump leaves no database behind
  trap 'drop evara_restored' EXIT
  drop evara_restored
  "${psql[@]}" --command 'CREATE DATABASE evara_restored OWNER evara'
  pg_dump --schema operations evara | "${psql[@]}" --dbname evara_restored >/dev/null # no dump has the list of backups
  pg_restore --exit-on-error --single-transaction --dbname evara_restored
  "${psql[@]}" --dbname evara_restored --command 'SELECT version_num FROM alembic_version' >/dev/null # is it a dump of the API?
  trap - EXIT
}

drop() { # DATABASE
  "${psql[@]}" --command "SET client_min_messages = warning" --command "DROP DATABASE IF EXISTS $1 WITH (FORCE)"
}

exchange() { # OLD NEW: rename evara to OLD, and NEW to evara, both or neither
  local attempts=5
  until "${psql[@]}" >/dev/null <<SQL; do
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN ('evara', '$2');
BEGIN;
ALTER DATABASE evara RENAME TO $1;
ALTER DATABASE $2 RENAME TO evara;
COMMIT;
SQL
    attempts=$((attempts - 1)) # a client that connected meanwhile keeps a database from being renamed
    [ "$attempts" -gt 0 ]
  done
}

# Ctrl-C ends `docker compose exec`, but not the script that it runs: the next one waits.
exec 9<"$0"
flock --timeout "${EVARA_RESTORE_WAIT:-60}" 9 || {
  echo "restore: error: another restore.sh is running; fix: try again when it has ended" >&2
  exit 1
}
former=$("${psql[@]}" --command "SELECT datname FROM pg_database WHERE datname = 'evara_before'")
case ${1:-} in
fill)
  require_no_former
  fill
  ;;
switch)
  require_no_former
  exchange evara_before evara_restored
  ;;
undo) [ -z "$former" ] || exchange evara_restored evara_before ;;
finish)
  drop evara_before
  drop evara_restored
  ;;
*)
  echo "restore: unknown command ${1:-}; use: restore.sh fill | switch | undo | finish" >&2
  exit 2
  ;;
esac
