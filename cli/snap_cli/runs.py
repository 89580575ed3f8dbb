"""One scheduled run: take, then gc by the rules of snap.toml; with a lock, a log, and a note of how it ended.

    runs = Runs(folder)                     # of one job
    result = runs.run([["take"], ["gc"]], program)
    runs.last()                             # the result of the last one

Whatever it runs are programs of their own, so that nothing one of them does is left to the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from snap_cli.noting import write_note
from snapstore.errors import Conflict, Unavailable
from snapstore.filesystem import lock

__all__ = ["Result", "Runs"]

_LOG_BYTES, _LOGS = 1 << 20, 5


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: the exit code of what failed first, else 0; `snapshot` is the id it took, if it did."""

    began: str
    ended: str
    exit_code: int
    snapshot: str
    words: str


class Runs:
    """The runs of one job, in a folder: `log`, `log.1` …, `last.json`, `lock`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def log(self) -> Path:
        """What was printed, the newest last."""
        return self._folder / "log"

    def last(self) -> Result | None:
        """How the last run ended; None if there was none, or its note cannot be read."""
        try:
            return Result(**json.loads((self._folder / "last.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def run(self, commands: Sequence[Sequence[str]], program: Sequence[str], cwd: Path) -> Result:
        """Run these one after the other until one fails. Raises `Conflict` while another run goes on."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked(), self._open_log() as log:
                result = self._run(commands, program, cwd, log)
                write_note(self._folder / "last.json", asdict(result))
        except OSError as error:
            raise Unavailable(f"{self._folder} cannot be written: {error.strerror or error}") from error
        return result

    def _run(self, commands: Sequence[Sequence[str]], program: Sequence[str], cwd: Path, log: IO[str]) -> Result:
        began, code, snapshot = _now(), 0, ""
        said = "done"
        for words in commands:
            log.write(f"{_now()} snap {' '.join(words)}\n")
            log.flush()
            done = subprocess.run(
                [*program, *words, "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                cwd=cwd,
            )  # fmt: skip
            log.write(done.stdout + done.stderr)
            document = _document(done.stdout)
            snapshot = str(document.get("snapshot", "")) or snapshot
            if done.returncode:
                code = code or done.returncode
                said = str(_document(done.stderr).get("message", "")) or f"`snap {words[0]}`: exit code {code}"
                if not snapshot:
                    break
        log.write(f"{_now()} {said}\n")
        return Result(began, _now(), code, snapshot, said)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("a+b") as file:
            try:
                _lock(file)
            except OSError as error:
                raise Conflict(
                    "the last scheduled run still goes on; this one is left out", hint=f"Its log: {self.log}"
                ) from error
            yield

    def _open_log(self) -> IO[str]:
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            for number in range(_LOGS - 1, 0, -1):
                older = self._folder / f"log.{number}"
                if older.exists():
                    os.replace(older, self._folder / f"log.{number + 1}")
            os.replace(self.log, self._folder / "log.1")
        return self.log.open("a", encoding="utf-8", errors="backslashreplace")


def _lock(file: IO[bytes]) -> None:
    """Raises `OSError` where another process has it; it ends with the process, however that ends."""
    lock(file.fileno(), wait=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _document(text: str) -> dict[str, Any]:
    """The JSON document in this output (of several lines of errors the last), or nothing."""
    for candidate in (text, text.strip().rpartition("\n")[2]):
        with contextlib.suppress(ValueError):
            found = json.loads(candidate)
            if isinstance(found, dict):
                return found
    return {}
