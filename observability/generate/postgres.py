"""Plan → the queries of PostgreSQL's exporter, and those that compare a restored backup; pure."""

from observability.generate.yaml_text import HEADER
from observability.lib.templates import fill
from observability.spec.plan import Plan

QUERIES = "postgres/queries.yaml"
SUMMARY = "postgres/summary.sql"
# Queries of postgres_exporter in addition to its own collectors (--extend.query-path; ADR 20
# explains why). One metric prefix per query.
EXPORTER = """\
evara_postgres_replication:
  query: |
    SELECT s.slot_name AS slot,
           s.active::int AS connected,
           CASE WHEN r.replay_lsn = pg_current_wal_lsn() THEN 0
                ELSE extract(epoch FROM greatest(r.replay_lag, now() - r.reply_time))
           END AS lag_seconds,
           pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, s.restart_lsn)) AS lag_bytes
    FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
    WHERE s.slot_type = 'physical'
  metrics:
    - slot: {usage: LABEL, description: Name of the slot}
    - connected: {usage: GAUGE, description: 1 while the replica is connected}
    - lag_seconds: {usage: GAUGE, description: Age of the data that the replica shows}
    - lag_bytes: {usage: GAUGE, description: WAL kept for the replica}
evara_postgres_transactions:
  query: |
    SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0) AS oldest_seconds
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  metrics:
    - oldest_seconds: {usage: GAUGE, description: Age of the oldest open transaction}
evara_postgres_connections:
  query: |
    SELECT states.state, count(a.pid) AS open
    FROM unnest(ARRAY['active', 'idle', 'idle in transaction', 'other']) AS states(state)
    LEFT JOIN pg_stat_activity a
      ON a.backend_type = 'client backend' AND a.datname = current_database()
      AND states.state =
          CASE WHEN a.state IN ('active', 'idle', 'idle in transaction') THEN a.state
               ELSE 'other' END
    GROUP BY states.state
  metrics:
    - state: {usage: LABEL, description: State of the connection}
    - open: {usage: GAUGE, description: Connections to the database}
evara_postgres_backup:
  query: |
    SELECT extract(epoch FROM max(checked_at)) AS checked_timestamp_seconds,
           (array_agg(bytes ORDER BY checked_at DESC))[1] AS size_bytes
    FROM operations.backups HAVING count(*) > 0
  metrics:
    - checked_timestamp_seconds:
        usage: GAUGE
        description: >-
          Time of the last verified backup; before the first, the time at which backups began
    - size_bytes: {usage: GAUGE, description: Size of the newest verified backup}
"""
TABLE_SIZE = """\
evara_postgres_<<table>>:
  query: |
    SELECT pg_total_relation_size('public.<<table>>') AS bytes, greatest(reltuples, 0) AS rows
    FROM pg_class WHERE oid = 'public.<<table>>'::regclass
  metrics:
    - bytes: {usage: GAUGE, description: Size of table and indexes on disk}
    - rows: {usage: GAUGE, description: Rows as of the last ANALYZE}
"""
NEWEST = "SELECT '<<text>>', max(extract(epoch FROM <<column>>)) FROM public.<<table>>;\n"


def render(plan: Plan) -> dict[str, str]:
    """Return the queries of the exporter, with the size of tables, and of the backup."""
    sizes = [fill(TABLE_SIZE, table=table) for table in plan.table_sizes]
    newest = [
        fill(NEWEST, text=text, table=entry.table, column=entry.column)
        for text, entry in plan.backup.items()
    ]
    return {
        QUERIES: HEADER + EXPORTER + "".join(sizes),
        SUMMARY: HEADER.replace("#", "--", 1) + "".join(newest),
    }
