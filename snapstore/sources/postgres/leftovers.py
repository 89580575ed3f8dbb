"""Small things that belong to what is held and do not come back with it: states, comments, marks without words.

    for thing in read_leftovers(connection, at):
        print(thing.id, thing.reason)     # "foreign key k of public.t", 'its triggers are disabled or altered; …'

And a net beneath all else: whatever the server keeps under a catalogue that this program does not know is named too.
Each is rare, and named rather than refused: what it belongs to comes back. It knows nothing of selections.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from snapstore.sources.postgres.tables import rows_of
from snapstore.sources.postgres.unheld import IN_A_USER_SCHEMA, NOT_OF_AN_EXTENSION, Thing

__all__ = ["read_leftovers"]

# Every catalogue whose objects are read by some module here, held or named. A server's newer ones are not among them.
_KNOWN = (
    "pg_am pg_amop pg_amproc pg_attrdef pg_cast pg_class pg_collation pg_constraint pg_conversion pg_default_acl "
    "pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_server pg_language pg_largeobject pg_namespace "
    "pg_opclass pg_operator pg_opfamily pg_policy pg_proc pg_publication pg_publication_namespace pg_publication_rel "
    "pg_rewrite pg_statistic_ext pg_subscription pg_transform pg_trigger pg_ts_config pg_ts_dict pg_ts_parser "
    "pg_ts_template pg_type pg_user_mapping"
)

# Comments that no module reads: (class, condition on its row o).
_SILENT_COMMENTS = {
    "pg_constraint": "o.conparentid <> 0 AND o.contype = 'f' OR o.contypid <> 0 AND o.contype = 'n'",
    "pg_rewrite": "o.rulename = '_RETURN'",
    "pg_type": "o.typelem <> 0 AND o.typlen = -1 AND EXISTS (SELECT FROM pg_type e WHERE e.typarray = o.oid)",
    "pg_proc": "EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = o.oid "
    "AND i.deptype = 'i')",
}

# Each arm: kind, name, relation it is within (or NULL).
_ARMS = [
    *(
        f"SELECT 'comment', pg_describe_object(d.classoid, d.objoid, 0), NULL::oid FROM pg_description d "
        f"JOIN {kind} o ON o.oid = d.objoid WHERE d.classoid = '{kind}'::regclass AND o.oid >= 16384 AND ({which}) "
        f"AND {NOT_OF_AN_EXTENSION.format(kind, 'o')}"
        for kind, which in _SILENT_COMMENTS.items()
    ),
    "SELECT 'extension dependency', pg_describe_object(d.classid, d.objid, 0) || ' on ' || x.extname, NULL "
    "FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass "
    "WHERE d.deptype = 'x'",
    "SELECT 'foreign key', format('%s of %s', c.conname, c.conrelid::regclass), c.conrelid FROM pg_constraint c "
    "JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace "
    f"WHERE c.contype = 'f' AND {IN_A_USER_SCHEMA} "
    "AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = c.oid AND g.tgenabled <> 'O')",
    "SELECT 'detached partition', i.inhrelid::regclass::text, i.inhrelid FROM pg_inherits i "
    "WHERE to_jsonb(i)->>'inhdetachpending' = 'true'",
    "SELECT 'user mapping', format('%s on server %s', m.usename, m.srvname), NULL FROM pg_user_mappings m",
    "SELECT 'connection limit', d.datconnlimit::text, NULL FROM pg_database d "
    "WHERE d.datname = current_database() AND d.datconnlimit >= 0",
    "SELECT 'security label', 'database ' || current_database(), NULL FROM pg_shseclabel l "
    "WHERE l.classoid = 'pg_database'::regclass "
    "AND l.objoid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    # Superusers may put things of their own there.
    *(
        f"SELECT 'system schema', pg_describe_object('{kind}'::regclass, o.oid, 0), NULL FROM {kind} o "
        f"JOIN pg_namespace n ON n.oid = o.{part}namespace AND n.nspname IN ('pg_catalog', 'information_schema') "
        f"WHERE o.oid >= 16384 AND {which} AND {NOT_OF_AN_EXTENSION.format(kind, 'o')}"
        for kind, part, which in [
            ("pg_class", "rel", "o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')"),
            ("pg_proc", "pro", "true"),
            ("pg_type", "typ", "o.typtype IN ('b', 'd', 'e', 'r') AND o.typcategory <> 'A'"),
            ("pg_operator", "opr", "o.oprcode <> 0"),
        ]
    ),
    "SELECT 'unknown', pg_describe_object(d.classid, d.objid, 0), NULL FROM (SELECT DISTINCT classid, objid "
    "FROM pg_depend WHERE objid >= 16384 AND deptype <> 'e') d "
    f"WHERE d.classid::regclass::text <> ALL (string_to_array('{_KNOWN}', ' '))",
]
_QUERY = (
    "SELECT DISTINCT kind, name, within::int8 AS within FROM ("
    + "\nUNION ALL ".join(_ARMS)
    + ") AS one(kind, name, within) ORDER BY 1, 2"
)

_REASONS = {
    "comment": "the comment is not held",
    "extension dependency": "that it is dropped with the extension (DEPENDS ON EXTENSION) is not held",
    "foreign key": "its triggers are disabled or altered; it comes back with all of them enabled",
    "detached partition": "its detaching is not finished (ALTER TABLE … DETACH … FINALIZE); it comes back attached",
    "user mapping": "roles and what they reach are no part of a database",
    "connection limit": "how many may connect is this server's own",
    "security label": "its provider is this server's own",
    "system schema": "it is in a schema of the system",
    "unknown": "this version knows nothing of its kind",
}


def read_leftovers(connection: psycopg.Connection[Any], at: Mapping[tuple[str, int], str]) -> list[Thing]:
    """All of them, in order of kind and name; `at` is as for `snapstore.sources.postgres.unheld.read_unheld`."""
    return [
        Thing(
            f"{row['kind']} {row['name']}",
            row["name"],
            _REASONS[row["kind"]],
            skipped=True,
            within=at.get(("pg_class", row["within"]), "") if row["within"] is not None else "",
        )
        for row in rows_of(connection, _QUERY)
    ]
