"""Opening SQLite databases, and their errors in our words: the home of apsw.

    place = place_of("sqlite:///home/me/agents.db")
    connection = open_reading(place)

What a database needs of extensions is loaded from libraries that are installed beside us (`sqlite-vec`), never from the
database. This module changes nothing in a file, and does not know tables.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import apsw

from snapstore.errors import Conflict, Corrupt, Invalid, NotFound, SnapstoreError, Unavailable, Unsupported
from snapstore.sources.paths import in_url, of_url

__all__ = [
    "beside", "connect", "create", "memory", "open_reading", "open_writing", "place_of", "quoted", "translated",
    "url_of",
]  # fmt: skip

_SCHEME = "sqlite://"
_SUFFIXES = ("", "-wal", "-journal")
_ATTEMPTS = 3


def place_of(url: str) -> Path:
    """The file that a URL means: `sqlite:///absolute/path`, or `sqlite://./relative/path`. Raises `Invalid`."""
    rest = url.removeprefix(_SCHEME)
    path, mark, _ = rest.partition("?")
    if "@" in path.partition("/")[0]:
        raise Invalid("a SQLite file has no user and no password", hint="Write sqlite:///path/to/file.db.")
    if rest == url or not path.strip("/"):
        raise Invalid(f"{url!r} names no SQLite file", hint="Write sqlite:///path/to/file.db.")
    if mark:
        raise Invalid(f"{url!r} has parameters, and there are none", hint="A question mark in a path is written %3F.")
    return Path(os.path.abspath(of_url(path)))


def url_of(place: Path) -> str:
    """The URL of a file."""
    return _SCHEME + in_url(place)


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def open_reading(place: Path, *, wait_seconds: float = 10.0) -> Iterator[apsw.Connection]:
    """A connection that changes no row. Raises `NotFound`, or `Unavailable` for a file that cannot be opened.

    It is opened for writing where that is allowed, because only then can a log be read that others write to, and a
    transaction that a crash cut short be rolled back, without which there is nothing consistent to read. Where nothing
    may be written and one of these is needed, a copy is read.
    """
    _check_file(place)
    keep = _size(beside(place, "-wal")) > 0
    with ExitStack() as stack:
        connection = connect(_uri(place, "mode=rw"), place, wait_seconds)
        stack.callback(connection.close, True)
        try:
            connection.execute("SELECT count(*) FROM main.sqlite_schema").fetchall()
        except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
            stack.close()
            copy = stack.enter_context(_copied(place, error))
            connection = connect(_uri(copy, "mode=rw"), place, wait_seconds)
            stack.callback(connection.close, True)
        except apsw.Error:
            pass  # whoever reads next says what it means
        with translated(place, "it cannot be opened"):
            if keep:
                # Closing the last connection would move a log into the database and delete it.
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("PRAGMA query_only = 1")
        yield connection


@contextmanager
def _copied(place: Path, error: apsw.Error) -> Iterator[Path]:
    """The file with its log or journal in a folder where they may be written; all of one moment."""
    with tempfile.TemporaryDirectory(prefix="snapstore-") as folder:
        copy = Path(folder) / place.name
        for _ in range(_ATTEMPTS):
            before = [_times(beside(place, suffix)) for suffix in _SUFFIXES]
            try:
                for suffix, times in zip(_SUFFIXES, before, strict=True):
                    if times is not None:
                        shutil.copyfile(beside(place, suffix), beside(copy, suffix))
            except OSError as failure:
                raise Unavailable(f"{place} cannot be read: {failure.strerror}") from failure
            if before == [_times(beside(place, suffix)) for suffix in _SUFFIXES]:
                yield copy
                return
        raise Unavailable(f"{place} may not be written by us and is being written by others", again=True) from error


def _times(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def beside(place: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside a database: `-wal`, `-journal`; itself for nothing.

    A database that is named through a symbolic link has them where it is, not where the link is.
    """
    return Path(os.path.realpath(place) + suffix)


def open_writing(place: Path, *, wait_seconds: float = 10.0, create: bool = False) -> apsw.Connection:
    """A connection whose statements fire no trigger and check no foreign key."""
    if not create:
        _check_file(place)
    connection = connect(_uri(place, "mode=rwc" if create else "mode=rw"), place, wait_seconds)
    if connection.readonly("main"):
        connection.close()
        raise Unavailable(f"{place} cannot be written", hint="Check the permissions of the file and its folder.")
    with translated(place, "it cannot be opened for writing"):
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        # What is held was there, so it may come back where the table is as it was: see `SqliteTarget`.
        connection.execute("PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1")
    return connection


def create(connection: apsw.Connection, statement: str) -> None:
    """Execute a CREATE statement that a snapshot holds. Raises `Corrupt` for any other: SQLite never kept it so.

    The engine would run all statements of a text; and one alone could write to other files (ATTACH, VACUUM INTO).
    """
    count = 0

    def is_first(cursor: apsw.Cursor, text: str, bindings: object) -> bool:
        nonlocal count
        count += 1
        return count == 1 and re.match(r"CREATE\s", text, re.IGNORECASE) is not None

    cursor = connection.cursor()
    cursor.exec_trace = is_first
    try:
        cursor.execute(statement)
        for _ in cursor:
            pass
    except apsw.ExecTraceAbort as error:
        raise Corrupt(f"{statement[:80]!r} is not one CREATE statement, and a snapshot holds no other") from error


def memory() -> apsw.Connection:
    """An empty database in memory."""
    connection = connect(":memory:", Path("memory"), 1.0)
    connection.execute("PRAGMA ignore_check_constraints = 1")
    return connection


def connect(name: str, place: Path, wait_seconds: float) -> apsw.Connection:
    """A connection to a URI or `:memory:`, with the extensions that are installed."""
    with translated(place, "it cannot be opened"):
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(name, flags=flags)
        connection.set_busy_timeout(int(wait_seconds * 1000))
        # A misspelt column must never be read as a text.
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        vec = _vec_library()
        if vec is not None:
            connection.enable_load_extension(True)
            connection.load_extension(vec)
            connection.enable_load_extension(False)
    return connection


def _vec_library() -> str | None:
    """Where sqlite-vec is, if it is installed."""
    found = find_spec("sqlite_vec")
    if found is None or found.origin is None:
        return None
    return str(Path(found.origin).with_name("vec0"))


def _uri(place: Path, parameters: str) -> str:
    return f"file://{in_url(place)}?{parameters}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _check_file(place: Path) -> None:
    try:
        is_file = stat.S_ISREG(place.stat().st_mode)
    except FileNotFoundError as error:
        relative = Path(str(place).lstrip("/"))
        hint = f"For a path in this folder write {_SCHEME}./{relative}." if relative.exists() else ""
        raise NotFound(f"there is no file {place}", hint=hint) from error
    except OSError as error:
        raise Unavailable(f"{place} cannot be looked at: {error.strerror}") from error
    if not is_file:
        raise Invalid(f"{place} is not a file")


@contextmanager
def translated(place: Path | str, doing: str) -> Iterator[None]:
    """Errors of the engine in our words, with the file and what was being done."""
    try:
        yield
    except SnapstoreError:
        raise
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Unavailable(
            f"{place}: {doing}: another program holds the database",
            hint="Try again when it is done, or stop it.",
            again=True,
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise Corrupt(
            f"{place}: {doing}: {_said(error)}",
            hint="`--salvage` takes what can still be read; `PRAGMA integrity_check` says more.",
        ) from error
    except apsw.ConstraintError as error:
        raise Conflict(f"{place}: {doing}: {_said(error)}", hint="Nothing was changed.") from error
    except (apsw.IOError, apsw.CantOpenError, apsw.FullError, apsw.PermissionsError, apsw.ReadOnlyError) as error:
        raise Unavailable(f"{place}: {doing}: {_said(error)}") from error
    except apsw.ExtensionLoadingError as error:
        raise Unavailable(f"{place}: sqlite-vec cannot be loaded: {_said(error)}") from error
    except apsw.Error as error:
        raise Unsupported(f"{place}: {doing}: {_said(error)}", hint=_hint(_said(error))) from error


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())


def _hint(said: str) -> str:
    if re.search("(no such|unknown) (function|collation|module|tokenizer)", said):
        return "The application brings this itself, and without it these rows cannot be handled. Choose other tables."
    return ""
