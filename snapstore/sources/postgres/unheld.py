"""What a database may have that snapstore does not hold yet: listed by name, so that nothing is passed over in silence.

    for thing in read_unheld(connection, {}):
        print(thing.id, thing.reason)        # 'publication outlet', 'replication is set up anew, not put back'

One query over every catalogue that has no words in a definition. It knows nothing of selections.
"""

# ruff: noqa: S608  # every query is put together from constants of this module
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from snapstore.sources.postgres.tables import full_name, rows_of

__all__ = ["IN_A_USER_SCHEMA", "NOT_OF_AN_EXTENSION", "Thing", "read_unheld"]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something not held: its kind, its name (`schema.name` where it has a schema), and why.

    `skipped` ones are left out with a word (they live elsewhere, or only in a session); the others are refused.
    `within` is the relation it belongs to, if any.
    """

    id: str
    name: str
    reason: str
    skipped: bool = False
    within: str = ""


# Schemas of the system and of sessions; a name that begins with pg_ is reserved by the server.
IN_A_USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
NOT_OF_AN_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{0}'::regclass AND e.objid = {1}.oid AND e.deptype = 'e')"
)


def _listed(kind: str, catalogue: str, name: str, where: str = "true") -> str:
    """One arm of the query for what is not held, of things without a schema: (kind, class, oid, schema, name)."""
    own = NOT_OF_AN_EXTENSION.format(catalogue, "o").replace("= 'e'", "IN ('e', 'i')")
    return (
        f"SELECT '{kind}' AS kind, '{catalogue}' AS class, o.oid::int8 AS oid, NULL AS schema, "
        f"{name}::text AS name, NULL::int8 AS relation FROM {catalogue} o "
        # A part of something else ('i': the cast that a range type brings with it) goes with that.
        f"WHERE o.oid >= 16384 AND {own} AND {where}"
    )


# 16384 is FirstNormalObjectId: below it stands only what initdb made (src/include/access/transam.h).
_UNHELD = " UNION ALL ".join(
    [
        _listed("publication", "pg_publication", "o.pubname"),
        _listed(
            "subscription",
            "pg_subscription",
            "o.subname",
            where="o.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ),
        _listed("foreign-data wrapper", "pg_foreign_data_wrapper", "o.fdwname"),
        _listed("server", "pg_foreign_server", "o.srvname"),
        "SELECT 'index', 'pg_index', i.indexrelid::int8, n.nspname::text, c.relname::text, i.indrelid::int8 "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_class t ON t.oid = i.indrelid AND t.relkind IN ('r', 'm') AND t.relpersistence <> 't' "
        f"WHERE {IN_A_USER_SCHEMA} AND NOT i.indisvalid",
        "SELECT 'security label', 'pg_seclabel', 0, NULL, pg_describe_object(classoid, objoid, objsubid), NULL "
        "FROM pg_seclabel",
        "SELECT 'tablespace', 'pg_tablespace', 0, NULL, s.spcname || ' of ' || c.oid::regclass, NULL "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_tablespace s ON s.oid = c.reltablespace "
        f"WHERE {IN_A_USER_SCHEMA} AND c.relpersistence <> 't'",
        "SELECT 'setting', 'pg_db_role_setting', 0, NULL, split_part(one, '=', 1) || ' of role ' || r.rolname, NULL "
        "FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole CROSS JOIN LATERAL unnest(s.setconfig) AS one "
        "WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ]
)

# The tables of extensions whose rows are the user's (pg_extension_config_dump), each with the condition on them.
_KEPT_ROWS = """
SELECT x.extname || ': ' || c.oid::regclass AS name, format('SELECT FROM %s %s LIMIT 1', c.oid::regclass, k.condition)
  AS query, has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_extension x CROSS JOIN LATERAL unnest(x.extconfig, x.extcondition) AS k(oid, condition)
JOIN pg_class c ON c.oid = k.oid WHERE c.relkind IN ('r', 'p') ORDER BY 1"""

# Named, and left out without being refused: they are a matter of this server, or of others.
_NAMED = {
    "publication": "replication is set up anew, not put back",
    "subscription": "replication is set up anew, not put back",
    "foreign-data wrapper": "what it reaches lives elsewhere",
    "server": "what it reaches lives elsewhere",
    "security label": "its provider is this server's own",
    "tablespace": "it is a place on this server's disks; what is restored goes to the default one",
    "setting": "roles are this server's own",
}

_REFUSED = {
    "index": "it is not valid (a CREATE INDEX CONCURRENTLY that failed): drop it or REINDEX it",
    "rows of extension": "rows kept in an extension's own table are not held",
}


def read_unheld(connection: psycopg.Connection[Any], at: dict[tuple[str, int], str]) -> list[Thing]:
    """Everything of kinds that are not held. `at` (class and OID → id) has the relations, and is added to."""
    things: list[Thing] = []
    for row in rows_of(connection, _UNHELD):
        kind = row["kind"]
        name = full_name(row["schema"], row["name"]) if row["schema"] is not None else row["name"]
        within = at.get(("pg_class", row["relation"]), "") if row["relation"] is not None else ""
        key = f"{kind} {name}" + (f" on {within}" if within else "")
        reason = {**_NAMED, **_REFUSED}[kind]
        things.append(Thing(key, name, reason, kind in _NAMED, within))
        if row["oid"]:
            at.setdefault((row["class"], row["oid"]), key)
    for row in rows_of(connection, _KEPT_ROWS):
        if not row["readable"] or rows_of(connection, row["query"], again=False):
            kind = "rows of extension"
            things.append(Thing(f"{kind} {row['name']}", row["name"], _REFUSED[kind]))
    return things
