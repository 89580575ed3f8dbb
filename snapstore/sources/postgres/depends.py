"""Who needs whom, from the server's own `pg_depend`: never from guesses at names in bodies or expressions.

    needs, uses = read_needs(connection, at)
    needs["view public.happy"]         # {'table public.memories', 'schema public'}

A part (a default, a constraint, an index, a member of an operator class …) counts as its whole. What belongs to an
extension is that extension. Dependencies that the server does not record (a function named in the body of another one)
are not known here either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from snapstore.sources.postgres.tables import rows_of

__all__ = ["read_members", "read_needs"]

# Which object a part belongs to, and whether the part is made after the rows (late) or with the object itself.
# Not of what initdb made (below 16384, as in `_DEPENDENCIES`): that is nobody's part, and it is a thousand rows.
_PARTS_OF = """
SELECT class, oid, whole, whole_oid, late FROM (
SELECT 'pg_attrdef' AS class, oid::int8 AS oid, 'pg_class' AS whole, adrelid::int8 AS whole_oid, false AS late
  FROM pg_attrdef
UNION ALL SELECT 'pg_constraint', oid, 'pg_class', conrelid, true FROM pg_constraint WHERE conrelid <> 0
UNION ALL SELECT 'pg_constraint', oid, 'pg_type', contypid, false FROM pg_constraint WHERE contypid <> 0
UNION ALL SELECT 'pg_class', indexrelid, 'pg_class', indrelid, true FROM pg_index
UNION ALL SELECT 'pg_trigger', oid, 'pg_class', tgrelid, true FROM pg_trigger
UNION ALL SELECT 'pg_policy', oid, 'pg_class', polrelid, true FROM pg_policy
UNION ALL SELECT 'pg_statistic_ext', oid, 'pg_class', stxrelid, true FROM pg_statistic_ext
-- the rule that makes a view comes with the view
UNION ALL SELECT 'pg_rewrite', oid, 'pg_class', ev_class, rulename <> '_RETURN' FROM pg_rewrite
UNION ALL SELECT 'pg_type', t.oid, 'pg_class', t.typrelid, false FROM pg_type t WHERE t.typrelid <> 0
UNION ALL SELECT 'pg_class', t.typrelid, 'pg_type', t.oid, false FROM pg_type t
  JOIN pg_class c ON c.oid = t.typrelid WHERE c.relkind = 'c'
UNION ALL SELECT 'pg_type', t.typarray, 'pg_type', t.oid, false FROM pg_type t WHERE t.typarray <> 0
-- what a range type brings with it: its multirange, their constructors and casts
UNION ALL SELECT classid::regclass::text, objid, 'pg_type', refobjid, false FROM pg_depend
  WHERE deptype = 'i' AND refclassid = 'pg_type'::regclass
    AND classid IN ('pg_proc'::regclass, 'pg_cast'::regclass, 'pg_type'::regclass)
-- members of an operator class, and those added to a family later
UNION ALL SELECT classid::regclass::text, objid, refclassid::regclass::text, refobjid, false FROM pg_depend
  WHERE classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass) AND deptype IN ('a', 'i')
    AND refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
) AS part WHERE oid >= 16384"""

# The functions that a base type, or the canonical form of a range, is made of: they are made over a shell of the type.
_MADE_OVER_A_SHELL = """
SELECT t.oid::int8 AS type, f.oid::int8 AS function FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid
CROSS JOIN LATERAL unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze,
  r.rngcanonical, coalesce(to_jsonb(t)->>'typsubscript', '-')::regproc]::oid[]) AS f(oid)
WHERE t.typtype IN ('b', 'r') AND f.oid >= 16384 AND t.oid >= 16384"""

_MEMBERS = """
SELECT classid::regclass::text AS class, objid::int8 AS oid, refobjid::int8 AS extension
FROM pg_depend WHERE deptype = 'e'"""

_DEPENDENCIES = """
SELECT classid::regclass::text AS class, objid::int8 AS oid, refclassid::regclass::text AS needed_class,
  refobjid::int8 AS needed
FROM pg_depend WHERE deptype IN ('n', 'a', 'i') AND objid >= 16384"""


_At = tuple[str, int]
Needs = dict[str, set[str]]


def read_members(connection: psycopg.Connection[Any], at: dict[_At, str]) -> None:
    """Add everything that belongs to an extension to `at` (class and OID → id), as that extension."""
    for row in rows_of(connection, _MEMBERS):
        at[row["class"], row["oid"]] = at["pg_extension", row["extension"]]


def read_needs(connection: psycopg.Connection[Any], at: Mapping[_At, str]) -> tuple[Needs, Needs]:
    """What everything in `at` needs before it can be made, and what it uses before it is whole: both by id."""
    needs: Needs = {}
    uses: Needs = {}
    wholes: dict[_At, tuple[_At, bool]] = {}
    for row in rows_of(connection, _PARTS_OF):
        wholes[row["class"], row["oid"]] = (row["whole"], row["whole_oid"]), row["late"]
    over_shells = set()
    for row in rows_of(connection, _MADE_OVER_A_SHELL):
        key = at.get(("pg_type", row["type"]), "")
        if key.startswith("type "):  # not an extension's
            over_shells.add((at.get(("pg_proc", row["function"])), key))
    for row in rows_of(connection, _DEPENDENCIES):
        owner, late = _whole((row["class"], row["oid"]), at, wholes)
        needed, _ = _whole((row["needed_class"], row["needed"]), at, wholes)
        if (owner, needed) in over_shells:
            needed = f"shell {needed}"
        # A sequence owned by a column points back at its table; the ownership is said in the sequence itself.
        if owner and needed and owner != needed and not (owner.startswith("sequence ") and needed.startswith("table ")):
            (uses if late else needs).setdefault(owner, set()).add(needed)
    for _, key in over_shells:
        own = needs.setdefault(key, set())
        needs[f"shell {key}"] = {one for one in own if one.startswith("schema ")}
        own.add(f"shell {key}")
    return needs, uses


def _whole(part: _At, at: Mapping[_At, str], wholes: Mapping[_At, tuple[_At, bool]]) -> tuple[str, bool]:
    """The id of what a part belongs to (nothing if it is not known), and whether the part is made late."""
    late = False
    for _ in range(5):  # array → multirange → range, or array → element → rowtype → table
        if part in at:
            return at[part], late
        if part not in wholes:
            break
        part, part_late = wholes[part]
        late = late or part_late
    return "", late
