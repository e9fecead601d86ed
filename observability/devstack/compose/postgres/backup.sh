#!/usr/bin/env bash
# Back up the database evara every EVARA_BACKUP_EVERY seconds. Each dump is restored into a temporary server and compared with
# the dumped snapshot before it is recorded. The newest EVARA_BACKUP_KEEP dumps are kept.
#
#   backup.sh run          repeat forever, as the service `backup` does
#   backup.sh once         make one dump and verify it; exit 1 if the verification fails
#   backup.sh check [FILE] restore an existing dump, by default the newest, and compare it with its recorded summary
#
# PGHOST, PGUSER and PGDATABASE select the database; the secret postgres_password has the password.
set -euo pipefail
folder=${EVARA_BACKUP_DIR:-/backups} every=${EVARA_BACKUP_EVERY:-86400} keep=${EVARA_BACKUP_KEEP:-7}
export PGHOST=${PGHOST:-postgres} PGUSER=${PGUSER:-evara} PGDATABASE=${PGDATABASE:-evara} PGCONNECT_TIMEOUT=5
umask 077
PGPASSFILE=$(mktemp)
printf '*:*:*:*:%s\n' "$(cat "${EVARA_SECRETS:-/run/secrets}/postgres_password")" >"$PGPASSFILE"
export PGPASSFILE
scratch=$folder/.scratch.$HOSTNAME.$$
if ! getent passwd "$(id -u)" >/dev/null; then # initdb needs a user name; the image has a library that provides one
  for wrapper in /usr/lib/*/libnss_wrapper.so; do
    [ -s "$wrapper" ] || continue
    NSS_WRAPPER_PASSWD=$(mktemp)
    echo "evara:x:$(id -u):$(id -g)::/tmp:/bin/false" >"$NSS_WRAPPER_PASSWD"
    export LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP=/etc/group
  done
fi
psql=(psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1)

say() { echo "backup: $*"; }

pause() { sleep "$1" & wait $!; } # a signal ends it at once

# Rows of each table, and the times that the catalogue declares under `backup`, as lines of text.
summary="SELECT format('SELECT %L, count(*) FROM public.%I', tablename, tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1 \\gexec
$(cat "${EVARA_BACKUP_SUMMARY:-/usr/local/sbin/summary.sql}")"

stop_scratch() {
  pg_ctl --pgdata "$scratch/data" --mode immediate stop >/dev/null 2>&1 || true
  rm -rf "$scratch"
}

check() { # FILE: restore it into a temporary server and compare
  local dump=$1 found
  (cd "$folder" && sha256sum --quiet --check "$(basename "$dump").sha256") || return 1
  stop_scratch
  mkdir -p "$scratch"
  initdb --pgdata "$scratch/data" --username evara --auth trust --no-sync --encoding UTF8 --locale C >/dev/null || return 1
  pg_ctl --pgdata "$scratch/data" --wait --log "$scratch/log" --silent start \
    --options "-c listen_addresses= -c port=5432 -c unix_socket_directories=$scratch -c fsync=off -c shared_buffers=32MB" || return 1
  PGHOST=$scratch PGPORT=5432 createdb --username evara restored || return 1
  pg_restore --host "$scratch" --port 5432 --username evara --dbname restored --no-owner --no-privileges --exit-on-error "$dump" || return 1
  found=$("${psql[@]}" --host "$scratch" --port 5432 --username evara --dbname restored <<<"$summary") || return 1
  stop_scratch
  diff <(cat "$dump.summary") - <<<"$found" >&2
}

dump() { # FILE: write a dump, and the summary of the same snapshot
  local file=$1 snapshot line
  coproc SOURCE { exec "${psql[@]}"; }
  local pid=$SOURCE_PID to=${SOURCE[1]} answers=${SOURCE[0]}
  printf '%s\n' "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;" "SET LOCAL idle_in_transaction_session_timeout = 0;" \
    "SET LOCAL statement_timeout = 0;" "SELECT pg_export_snapshot();" "$summary" '\echo end' >&"$to"
  read -r snapshot <&"$answers" || return 1
  while read -r line <&"$answers" && [ "$line" != end ]; do echo "$line"; done >"$file.summary"
  [ "$line" = end ] || return 1
  pg_dump --format custom --exclude-schema operations --snapshot "$snapshot" --file "$file" || return 1
  echo '\q' >&"$to"
  wait "$pid" || return 1
  (cd "$folder" && sha256sum "$(basename "$file")" >"$file.sha256")
}

lock() { # `make backup` has a container of its own, beside that of the service
  exec 9>"$folder/.lock" || return 1
  flock --timeout "${EVARA_BACKUP_WAIT:-600}" 9 && return
  unlock
  say "FAILED: another backup is still being made; fix: try again when it has ended" >&2
  return 1
}

unlock() { exec 9>&-; }

record() { # FILE: both statements or neither, so that no row is without its dump
  "${psql[@]}" --set name="$(basename "$1")" --set bytes="$(stat --format %s "$1")" --set keep="$keep" <<'SQL'
BEGIN;
INSERT INTO operations.backups (name, bytes) VALUES (:'name', :bytes);
DELETE FROM operations.backups WHERE name NOT IN (SELECT name FROM operations.backups ORDER BY checked_at DESC LIMIT :keep);
COMMIT;
SQL
}

once() {
  local name file space
  lock || return 1
  name=evara-$(date --utc +%Y%m%dT%H%M%S).dump
  file=$folder/$name
  if ! dump "$file" || ! check "$file" || ! record "$file"; then
    [ -z "${SOURCE_PID:-}" ] || kill "$SOURCE_PID" # close its transaction
    stop_scratch
    space=$(df --human-readable --output=avail "$folder" | tail -1)
    rm -f "$file" "$file".*
    unlock
    say "FAILED: $name could not be made, restored as it was, or recorded (free space: ${space// /}); it is removed, older ones stay" >&2
    return 1
  fi
  say "$name restored and compared: $(tr '\n' ' ' <"$file.summary")"
  find "$folder" -maxdepth 1 -name 'evara-*.dump' | sort | head --lines "-$keep" | while read -r old; do
    rm -f "$old" "$old".*
    say "removed $(basename "$old")"
  done
  unlock
}

run() {
  local newest age
  mkdir -p "$folder"
  if lock; then
    rm -rf "$folder"/.scratch.* # left by a killed run
    unlock
  fi
  # Record the start: without this row, BackupMissing would not fire when the first backup fails.
  until "${psql[@]}" <<<"INSERT INTO operations.backups (name, bytes) SELECT 'scheduled', 0 WHERE NOT EXISTS (SELECT FROM operations.backups);"; do
    pause 5
  done
  while :; do
    newest=$(find "$folder" -maxdepth 1 -name 'evara-*.dump' -printf '%T@\n' | sort | tail -1)
    newest=${newest%.*}
    age=$(($(date +%s) - ${newest:-0}))
    if [ "$age" -ge "$every" ]; then
      once || pause "$((every < 600 ? every : 600))"
    else
      pause "$((every - age))"
    fi
  done
}

trap 'stop_scratch; rm -f "$PGPASSFILE"' EXIT
trap 'exit 0' TERM INT
case ${1:-run} in
run) run ;;
once) once ;;
check)
  dump=$(basename "${2:-$(find "$folder" -maxdepth 1 -name 'evara-*.dump' | sort | tail -1)}")
  check "$folder/${dump:?there is no dump yet}" && say "$dump holds what it held when it was made"
  ;;
*)
  echo "backup: unknown command $1; use: backup.sh run | once | check [FILE]" >&2
  exit 2
  ;;
esac
