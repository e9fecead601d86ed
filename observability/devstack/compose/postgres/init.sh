#!/usr/bin/env bash
# Create roles, database and the table of verified backups. The image's entrypoint runs this once, when the data folder is empty.
set -euo pipefail
secrets=${EVARA_SECRETS:-/run/secrets}
export secrets

# psql reads the passwords itself, so that they do not appear in the process list.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set evara `cat "$secrets/postgres_password"`
\set replication `cat "$secrets/replication_password"`
\set exporter `cat "$secrets/exporter_password"`
SET password_encryption = 'scram-sha-256';
CREATE ROLE evara LOGIN PASSWORD :'evara'; -- the API: owns its tables, and is no superuser
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
CREATE ROLE exporter LOGIN PASSWORD :'exporter' IN ROLE pg_monitor;
ALTER ROLE exporter SET statement_timeout = '4s';
ALTER ROLE exporter SET default_transaction_read_only = on;
CREATE DATABASE evara OWNER evara;
\connect evara
CREATE SCHEMA operations; -- beside the API's tables: no migration knows it, no backup holds it
CREATE TABLE operations.backups (
  name text PRIMARY KEY,
  checked_at timestamptz NOT NULL DEFAULT now(),
  bytes bigint NOT NULL
);
GRANT USAGE ON SCHEMA operations TO evara, exporter;
GRANT SELECT, INSERT, DELETE ON operations.backups TO evara;
GRANT SELECT ON operations.backups TO exporter;
SQL
