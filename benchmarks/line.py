"""A server some way off: everything to and from it passes through here, is counted, and takes as long as told.

    with Line(folder_of_the_socket, delay_seconds=0.02, bytes_per_second=12.5e6) as line:
        psycopg.connect(f"postgresql://postgres@/agents?host={line.folder}&port=5432")
        line.round_trips, line.bytes_down

A round trip is counted when a client begins to send after it was sent something: that is when it has waited. The delay
is that of a whole round trip, half of it each way; the rate is that of each direction of each connection.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Line"]

_NAME = ".s.PGSQL.5432"
_PIECE = 1 << 16


class Line:
    """A socket in `folder` that leads to the server whose socket is in `to`. Connections end with the block."""

    def __init__(self, to: Path, *, delay_seconds: float = 0.0, bytes_per_second: float = 0.0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="snap-line-", dir="/tmp"))
        self.round_trips = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._to = to
        self._delay = delay_seconds / 2
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.folder / _NAME))
        self._listener.listen()

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._open:
            end.close()
        shutil.rmtree(self.folder)

    def reset(self) -> None:
        """Count from nothing again."""
        with self._lock:
            self.round_trips = self.bytes_up = self.bytes_down = 0

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.connect(str(self._to / _NAME))
            self._open += [client, server]
            turn = _Turn()
            self._carry(client, server, turn, up=True)
            self._carry(server, client, turn, up=False)

    def _carry(self, source: socket.socket, target: socket.socket, turn: _Turn, *, up: bool) -> None:
        pieces = _Pieces()
        self._run(self._receive, source, pieces, turn, up)
        self._run(self._send, target, pieces)

    def _receive(self, source: socket.socket, pieces: _Pieces, turn: _Turn, up: bool) -> None:
        free = 0.0
        while True:
            try:
                data = source.recv(_PIECE)
            except OSError:
                data = b""
            with self._lock:
                if up:
                    self.round_trips += bool(data) and not turn.is_clients
                    self.bytes_up += len(data)
                else:
                    self.bytes_down += len(data)
                turn.is_clients = up
            free = max(free, time.monotonic()) + (len(data) / self._rate if self._rate else 0)
            pieces.put(free + self._delay, data)
            if not data:
                return

    def _send(self, target: socket.socket, pieces: _Pieces) -> None:
        while True:
            due, data = pieces.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if data:
                    target.sendall(data)
                else:
                    target.shutdown(socket.SHUT_WR)
            except OSError:
                return
            if not data:
                return


class _Turn:
    """Who sent last on one connection. The first to speak is the client, which has waited for nobody."""

    def __init__(self) -> None:
        self.is_clients = True


class _Pieces:
    """What is on its way, with the time at which it arrives; as much of it as a window of the network would hold."""

    _MOST = 256

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, bytes]] = deque()

    def put(self, due: float, data: bytes) -> None:
        with self._changed:
            while len(self._waiting) >= self._MOST and data:
                if not self._changed.wait(10):
                    return  # nobody takes it any more
            self._waiting.append((due, data))
            self._changed.notify_all()

    def get(self) -> tuple[float, bytes]:
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            found = self._waiting.popleft()
            self._changed.notify_all()
            return found
