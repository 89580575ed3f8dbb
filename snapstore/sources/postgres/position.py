"""Where a snapshot stands in its server's own history: transaction ids, write-ahead log, and which server it is.

    read_position(connection)["snapshot_xmin"]

Read inside the transaction whose snapshot it describes. For people, and for a later take that reads only what changed.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

__all__ = ["read_position"]

_POSITION = """
SELECT pg_catalog.current_database()::text AS database,
  (SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AS database_oid,
  pg_catalog.current_setting('server_version') AS server_version,
  pg_catalog.pg_current_snapshot()::text AS snapshot,
  pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::int8 AS snapshot_xmin,
  pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 AS snapshot_xmax,
  pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time,
  pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    AS server_started,
  (SELECT pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'checkpointer') AS run_started,
  pg_catalog.pg_is_in_recovery() AS in_recovery,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
    ELSE pg_catalog.pg_current_wal_insert_lsn() END::text AS wal,
  CASE WHEN NOT pg_catalog.pg_is_in_recovery()
    THEN pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END AS timeline,
  pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may_identify"""

# Not in the query above: a function without permission fails even where it is not reached.
_IDENTITY = "SELECT system_identifier::text AS system_identifier FROM pg_catalog.pg_control_system()"


def read_position(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """`database`, `database_oid`, `server_version`, `server_started`, `run_started` (when its processes started, as
    after a crash of one; None if not permitted), `system_identifier` (text, None if not permitted), `snapshot` as the
    server writes it with `snapshot_xmin` and `snapshot_xmax`, `wal` (insert position, or replayed on a standby),
    `timeline` (None on a standby), `in_recovery`, and `time`, when the transaction began (UTC).
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        position = cursor.execute(_POSITION).fetchone()
        assert position is not None
        identity = cursor.execute(_IDENTITY).fetchone() if position.pop("may_identify") else None
    position["system_identifier"] = identity["system_identifier"] if identity else None
    if position["timeline"] is not None:
        position["timeline"] = int(position["timeline"], 16)
    return position
