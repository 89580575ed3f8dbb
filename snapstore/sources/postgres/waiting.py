"""Waiting for locks without holding everybody else up, and saying who holds them.

    patience = Patience(10.0)
    while True:
        with busy(): lock(..., timeout=patience.slice)
        ...  # on BusyError: roll back, then
        patience.wait(error)      # or raise, naming the holders

Who waits for a lock makes all who come later wait behind him. So the wait is in slices: after each, everything is let
go, the others go on, and it begins again, until the time is over. Deadlocks end a slice as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from snapstore.errors import SnapstoreError, Unavailable
from snapstore.sources.postgres.connection import translated

__all__ = ["BusyError", "Patience", "busy"]

_SLICE_SECONDS = 2.0
_PAUSE_SECONDS = 0.05

_HELD = """
SELECT DISTINCT n.nspname || '.' || c.relname AS relation, coalesce(
    'the prepared transaction ' || quote_literal(x.gid) || ' (COMMIT PREPARED or ROLLBACK PREPARED ends it)',
    coalesce(nullif(a.application_name, ''), a.backend_type, 'another session') || ' of ' ||
      coalesce(a.usename, 'another role') || ', process ' || l.pid, 'another session') AS holder
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
-- A prepared transaction has no process; its lock on its own number says which it is.
LEFT JOIN pg_catalog.pg_locks own ON l.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid'
  AND own.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = own.transactionid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND l.mode = ANY(%s)
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1, 2"""

# What each lock of ours has to wait for (PostgreSQL manual, explicit locking).
_AGAINST = {
    "ACCESS SHARE": ["AccessExclusiveLock"],
    "SHARE ROW EXCLUSIVE": [
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ],
}


class BusyError(Exception):
    """Another session was in the way; its cause is our error, as it would be told."""


@contextmanager
def busy() -> Iterator[None]:
    """Locks that do not come, and deadlocks, become `BusyError`."""
    try:
        yield
    except SnapstoreError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
            raise BusyError(error.message) from error
        raise


class Patience:
    """So many seconds of waiting in all, in slices."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._is_last = seconds <= _SLICE_SECONDS
        self.slice_seconds = min(seconds, _SLICE_SECONDS)

    def wait(self, connection: psycopg.Connection[Any], error: BusyError, lock_mode: str) -> None:
        """Pause before the next slice. Raises `Unavailable` naming who holds what when the time is over."""
        left = self._until - time.monotonic() - _PAUSE_SECONDS
        if left <= 0 or self._is_last:
            raise self._over(connection, error, lock_mode) from error.__cause__
        time.sleep(_PAUSE_SECONDS)
        self.slice_seconds = min(left, _SLICE_SECONDS)

    def _over(self, connection: psycopg.Connection[Any], error: BusyError, lock_mode: str) -> Unavailable:
        with translated("the holders of locks cannot be read"):
            held = connection.execute(_HELD, (_AGAINST[lock_mode],)).fetchall()
        who = "; ".join(f"{relation} is held by {holder}" for relation, holder in held)
        hint = "wait until the other session is done, end it, or wait longer for locks"
        return Unavailable(f"{error}" + (f" ({who})" if who else ""), hint=hint)
