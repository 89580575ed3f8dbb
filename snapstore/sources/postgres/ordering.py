"""The ORDER BY under which PostgreSQL gives rows in the order of their keys' bytes.

    order_by(KeyPart("name", "pg_catalog.text", "bytes"), send="textsend", encoding="UTF8")    # "name" COLLATE "C"

Numbers, times, uuid and bytea stand in that order by themselves and can come from the primary key's index. Text does
under the collation C, and everything else under the bytes of its own send function. It does not know how keys are
encoded (`snapstore.keys`); that both agree is tested against a server for every type.
"""

from __future__ import annotations

from psycopg import sql

from snapstore.rows import KeyPart
from snapstore.sources.postgres.forms import Form

__all__ = ["order_by"]

# Text that sorts by its bytes under the collation C. Not char(n): it compares without its trailing spaces, so that
# 'a' stands before E'a\t' while the bytes of 'a ' stand after it.
_TEXT = {"pg_catalog.text", "pg_catalog.varchar", "pg_catalog.name"}

# The client's encoding is UTF8; in these the server's bytes are the client's.
_SAME_BYTES = {"UTF8", "SQL_ASCII"}


def order_by(part: KeyPart, *, send: str | None, encoding: str, form: Form | None = None) -> sql.Composed:
    """One term of ORDER BY. `send` is the type's send function, quoted as SQL; `encoding` the database's; `form`
    how its cells are held, where that is not as they are sent.
    """
    column = sql.Identifier(part.name)
    if part.encoding != "bytes" or part.type == "pg_catalog.bytea":
        return sql.Composed([column])
    if part.type in _TEXT:
        if encoding in _SAME_BYTES:
            return sql.SQL('{} COLLATE pg_catalog."C"').format(column)
        return sql.SQL("pg_catalog.convert_to({}::pg_catalog.text, 'UTF8')").format(column)
    is_text = form is not None and form.kind == "text"
    if is_text or send == "enum_send":  # which takes no domain over an enum, and sends the label
        words = sql.SQL("({})::pg_catalog.text").format(form.sent(column) if form is not None and is_text else column)
        if encoding in _SAME_BYTES:
            return sql.SQL('{} COLLATE pg_catalog."C"').format(words)
        return sql.SQL("pg_catalog.convert_to({}, 'UTF8')").format(words)
    assert send is not None  # or it would be held as text
    # The catalogue quoted the name (regproc). Send functions convert text to the client's encoding.
    function = send if "." in send else f"pg_catalog.{send}"
    return sql.SQL("{}({})").format(sql.SQL(function), column)
