"""The rows of one COPY, and work on rows done in a thread ahead of whoever uses them.

    def batches() -> Iterator[Batch]:
        for rows in groups(connection, query, "public.memories"):        # one buffer a row
            yield batch_of(key, columns, decode("public.memories", fields, rows))

    for batch in ahead(connection, batches(), size_of):
        ...

The server sends and the thread parses while the batch before is being used (`snapstore.ahead`). It knows nothing of
what is in a row.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from snapstore.ahead import made_ahead
from snapstore.digest import Buffer
from snapstore.errors import Unavailable, Unsupported
from snapstore.sources.postgres.copying import HEADER, TRAILER

__all__ = ["GROUP_BYTES", "ahead", "groups"]

GROUP_BYTES = 8 << 20
# Each row is charged with this much more, so that a group has at most 8,192 rows at the price of one comparison a row.
_ROW_BYTES = 1 << 10

_PATIENCE_SECONDS = 5.0

T = TypeVar("T")


def groups(connection: psycopg.Connection[Any], query: sql.Composed, table: str) -> Generator[list[Buffer], None, None]:
    """Rows without header and trailer, at most 8,192 or about 8 MB at once; a larger row comes alone.

    Errors are the driver's, once all rows before have been given, or `Unavailable` where the rows end too soon. Closed
    early, it cancels the query.
    """
    with closing(connection.cursor()) as cursor, cursor.copy(query) as copy:
        # The server sends a message a row: the header before the first, the trailer as a message of its own. What has
        # arrived is asked of libpq itself, and the driver only to wait: its own loop takes three times as long for a
        # narrow row (measured: 0.6 and 0.2 µs).
        arrived = connection.pgconn.get_copy_data
        row: Buffer = copy.read()
        if bytes(row[: len(HEADER)]) != HEADER:
            raise Unsupported(f"{table}: the server sends a form of COPY BINARY that is not known")
        row = memoryview(row)[len(HEADER) :]  # many servers send the first row, or the trailer, with the header
        is_over = row == TRAILER
        group: list[Buffer] = [row] if row and not is_over else []
        size = len(row)
        row = b""
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
        while not is_over:  # a million times for a million rows: nothing more belongs in here
            length, row = arrived(1)
            if length <= len(TRAILER):
                if length < 0:
                    error = _why_ended(connection, table)
                    if group and not isinstance(error, psycopg.errors.QueryCanceled):
                        yield group
                    raise error
                if not length:
                    try:
                        row = copy.read()
                    except psycopg.errors.QueryCanceled:  # nobody wants the rest
                        raise
                    except psycopg.Error:
                        if group:
                            yield group
                        raise
                    length = len(row)
                if row == TRAILER:
                    break
                if not length:
                    raise _ended_early(table)
            group.append(row)
            size += length + _ROW_BYTES
            if size >= GROUP_BYTES:
                if length >= GROUP_BYTES and len(group) > 1:
                    group.pop()
                    yield group
                    group = [row]
                row = b""  # not to be held while the next one comes
                yield group
                group, size = [], 0
        if copy.read():
            raise _ended_early(table)
        if group:
            yield group


def _why_ended(connection: psycopg.Connection[Any], table: str) -> Exception:
    """The server's error, if it sent one, when rows ended without a trailer."""
    for result in iter(connection.pgconn.get_result, None):
        if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
            error: Exception = psycopg.errors.error_from_result(result, encoding=connection.info.encoding)
            for _ in iter(connection.pgconn.get_result, None):
                pass  # or the connection would still be busy
            return error
    return _ended_early(table)


def _ended_early(table: str) -> Unavailable:
    return Unavailable(f"{table}: the rows ended early", hint="is the server up? then try again")


def ahead(
    connection: psycopg.Connection[Any] | None, source: Generator[T, None, None], size_of: Callable[[T], int]
) -> Generator[T, None, None]:
    """The same things as `source` gives, made in a thread; `size_of` is the bytes each holds.

    Errors come through. Until it ends, the connection that `source` reads (None if it reads none) belongs to the
    thread; closing the iterator early closes `source` there, cancels what the server is at, and waits until the
    connection is quiet.
    """
    return made_ahead(source, size_of, None if connection is None else partial(_quieten, connection))


def _quieten(connection: psycopg.Connection[Any], thread: threading.Thread) -> None:
    """Wait for the thread; cancel its query if it is not about to end, cut the connection if the server is deaf."""
    thread.join(0.1)
    if thread.is_alive():
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_PATIENCE_SECONDS)
        thread.join(_PATIENCE_SECONDS)
    if thread.is_alive():
        with suppress(OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)
        thread.join()
