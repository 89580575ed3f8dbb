"""Connections to PostgreSQL: opened the same way everywhere, their errors in our words, their passwords never shown.

    with connect("postgresql://me@/agents?host=/run/postgresql") as connection, translated("public.memories"):
        connection.execute("SELECT 1")
    redact("postgresql://me:secret@db/agents")      # 'postgresql://me@db/agents'

What a URL leaves out, libpq finds where it always does (its environment, `~/.pgpass`, a service file). Nothing is set
for the session but the encoding, which poolers carry: everything else belongs inside a transaction
(`snapstore.sources.postgres.view`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from snapstore.errors import Conflict, Corrupt, Invalid, SnapstoreError, Unavailable, Unsupported

__all__ = ["check_url", "connect", "execute_one", "explained", "explanation", "redact", "translate", "translated"]

_OLDEST_VERSION = 130_000  # pg_current_snapshot and what the catalogue queries use

_CONNECT_TIMEOUT_SECONDS = 10

# No query is sent so often that it is prepared without being asked for.
_WHEN_ASKED = 1 << 30


def connect(url: str, *, application_name: str = "snapstore") -> psycopg.Connection[Any]:
    """An open connection in autocommit mode, speaking UTF-8. `url` is a URL or a `key=value` string as libpq reads it.

    Raises `Invalid` for a URL, password, role or database that is wrong, `Unavailable` where no server answers,
    `Unsupported` for one that is too old.
    """
    given = _parse(url)
    given.setdefault("connect_timeout", _CONNECT_TIMEOUT_SECONDS)
    given.setdefault("application_name", application_name)
    shown = redact(url)
    try:
        connection = psycopg.connect(**{**given, "client_encoding": "UTF8"}, autocommit=True)
    except psycopg.Error as error:
        raise _not_connected(shown, error) from error
    # A pooler may hand out another session in the next transaction, so nothing is prepared behind one; else what asks
    # for it is (`rows_of`): the catalogue is read three times in a take, and planning is most of it (measured: 0.6).
    connection.prepare_threshold = _WHEN_ASKED if _is_direct(connection) else None
    if connection.info.server_version < _OLDEST_VERSION:
        version = connection.info.parameter_status("server_version")
        connection.close()
        raise Unsupported(f"{shown} is PostgreSQL {version}; snapstore needs 13 or newer")
    return connection


def _is_direct(connection: psycopg.Connection[Any]) -> bool:
    """Whether the session is the server's own: poolers that share sessions make up the number they give a client."""
    try:
        row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    except psycopg.Error:
        return False  # whatever is wrong, the first statement that matters says so
    return row is not None and row[0] == connection.info.backend_pid


def execute_one(connection: psycopg.Connection[Any], statement: sql.SQL | sql.Composed) -> psycopg.Cursor[Any]:
    """Execute a statement with words of a snapshot in it, which the server refuses if they make several of it.

    Asking for binary results makes the driver use the extended protocol, which takes one statement.
    """
    return connection.execute(statement, binary=True)


def check_url(url: str) -> None:
    """Raise `Invalid` for what libpq cannot read as a URL or `key=value` string; asks no server."""
    _parse(url)


def redact(url: str) -> str:
    """The same place without any secret, as a URL fit for a manifest, a message or a log.

    Of what cannot be read as one, only the scheme is shown.
    """
    try:
        given = _parse(url)
    except Invalid:
        return _redact_roughly(url)
    kept = {key: str(value) for key, value in given.items() if value is not None and not _is_secret(key)}
    host, port, user = kept.pop("host", ""), kept.pop("port", ""), kept.pop("user", "")
    name = quote(kept.pop("dbname", ""), safe="")
    place = f"{quote(user, safe='')}@" if user else ""
    hosts, ports = host.split(","), port.split(",")
    if any(one.startswith(("/", "@")) for one in hosts) or "hostaddr" in kept:
        kept = {"host": host, "port": port, **kept}
    else:
        ports = ports * len(hosts) if len(ports) == 1 else ports
        bracketed = (f"[{one}]" if ":" in one else one for one in hosts)
        place += ",".join(f"{one}:{number}" if number else one for one, number in zip(bracketed, ports, strict=False))
    query = urlencode({key: value for key, value in kept.items() if value}, safe="/,", quote_via=quote)
    return f"postgresql://{place}/{name}" + (f"?{query}" if query else "")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of the driver inside become ours; `doing` begins the message: `public.memories cannot be read`."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error


def translate(error: psycopg.Error, doing: str) -> SnapstoreError:
    """Our error for the driver's, by SQLSTATE (PostgreSQL manual, appendix A). The words are the server's."""
    said = (error.diag.message_primary or str(error).strip() or type(error).__name__).splitlines()[0]
    state = error.sqlstate or ""
    for prefix, kind, hint in _BY_STATE:
        if state.startswith(prefix):
            return kind(f"{doing}: {said}", hint=hint, again=state.startswith(_AGAIN))
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not state:
        return Unavailable(f"{doing}: the connection was lost: {said}", hint="is the server up? then try again")
    return Unavailable(f"{doing}: {said}" + (f" (SQLSTATE {state})" if state else ""))


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """As `translated`, with the server's DETAIL: it has the key and the value that are in the way."""
    try:
        yield
    except psycopg.Error as error:
        raise explanation(error, doing) from error


def explanation(error: psycopg.Error, doing: str) -> SnapstoreError:
    """As `translate`, with the server's DETAIL."""
    ours = translate(error, doing)
    detail = " ".join((error.diag.message_detail or "").split())
    message = f"{ours.message}: {detail}" if detail else ours.message
    return type(ours)(message, hint=ours.hint, again=ours.again)


# The first prefix that fits decides.
_BY_STATE: tuple[tuple[str, type[SnapstoreError], str], ...] = (
    ("55P03", Unavailable, "another session holds the table; try again, or wait longer for locks"),
    ("57014", Unavailable, "someone cancelled it, or a timeout set on the server did; try again"),
    ("57P01", Unavailable, "somebody ended the connection, or the server is stopping; try again"),
    ("57", Unavailable, "the server is stopping or starting; try again when it is up"),
    ("08", Unavailable, "is the server up? then try again"),
    ("53", Unavailable, "the server lacks connections, memory or disk; free some, then try again"),
    ("40", Conflict, "another session was in the way; try again"),
    ("42P01", Conflict, "the table was dropped or renamed meanwhile; try again"),
    ("3F000", Conflict, "the schema was dropped or renamed meanwhile; try again"),
    ("42703", Conflict, "the column was dropped or renamed meanwhile; try again"),
    ("23", Conflict, "the row is in the way of a constraint"),
    ("XX001", Corrupt, "the server's own files are damaged; copy them before anything writes to this database"),
    ("XX002", Corrupt, "an index on the server is damaged; REINDEX it, then try again"),
    ("25006", Invalid, "the server is a standby or set to read only; write to the primary"),
    ("42501", Invalid, "grant the role what it lacks, or use another role"),
    ("28", Invalid, "check user and password"),
    ("3D000", Invalid, "check the name of the database"),
    ("0A", Unsupported, ""),
    ("22", Invalid, ""),
    ("42", Invalid, ""),
)


# Transaction rollbacks (also by a standby's recovery), and locks that did not come.
_AGAIN = ("40", "55P03")


def _parse(url: str) -> dict[str, Any]:
    try:
        given = dict(conninfo_to_dict(url))
    except psycopg.Error:
        given = None
    # A password that is not percent-encoded can be read as a host, a port and a path: me:@12/34@db/agents.
    after = url.partition("://")[2]
    is_ambiguous = after.count("@") > 1 or "@" in after.partition("?")[0].partition("/")[2]
    if given is None or is_ambiguous or not re.fullmatch(r"[0-9,]*", str(given.get("port") or "")):
        # Neither the driver's words nor its error as a cause: both may quote the part with the password.
        raise Invalid(
            f"{_redact_roughly(url)} is not a URL of a PostgreSQL database",
            hint="write postgresql://user@host:port/database; percent-encode all but letters and digits in a password",
        )
    return given


def _is_secret(key: str) -> bool:
    return any(word in key for word in ("password", "secret", "scram"))


def _redact_roughly(url: str) -> str:
    """Where it cannot be told what is a secret, nothing but the scheme is shown."""
    scheme = re.match(r"[a-z+]{1,30}://", url)
    return f"{scheme.group()}…" if scheme else "…"


# libpq has no SQLSTATE for what the server says before a session begins.
_REFUSALS: tuple[tuple[str, str], ...] = (
    (r"password authentication failed|no password supplied|authentication failed", "check user and password"),
    (r"role .* does not exist", "check the name of the user"),
    (r"database .* does not exist", "check the name of the database"),
    (
        r"permission denied for database|not permitted to log in",
        "grant the role CONNECT and LOGIN, or use another role",
    ),
    (
        r"certificate verify failed|does not match host name|root certificate file",
        "sslrootcert must name the certificate of who signed the server's; verify-full wants the host's name in it",
    ),
    (r"definition of service|service file", "check the name of the service, and which file PGSERVICEFILE names"),
    (
        r"no pg_hba.conf entry|no encryption|SSL required",
        "the server's pg_hba.conf does not let this user in from here",
    ),
)


def _not_connected(shown: str, error: psycopg.Error) -> SnapstoreError:
    said = " ".join(str(error).split())
    # The last FATAL is the server's own word; before it stand the addresses that were tried.
    said = said.rpartition("FATAL: ")[2].strip() or said
    for pattern, hint in _REFUSALS:
        if re.search(pattern, said):
            return Invalid(f"{shown} does not let us in: {said}", hint=hint)
    return Unavailable(f"{shown} cannot be reached: {said}", hint="is the server up, and are host and port right?")
