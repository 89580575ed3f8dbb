"""Operator families and classes as the statements that make them, for `snapstore.sources.postgres.written`.

    FAMILIES[0]     # a SELECT with one row for each family

What an index may be built with. A family holds what was added to it later; a class holds its own members. The server
says of each member which it belongs to (`pg_depend`), as it does to pg_dump. It knows of nothing else.
"""

from __future__ import annotations

__all__ = ["FAMILIES"]

# The members of %s as a list in the words of CREATE OPERATOR CLASS.
_MEMBERS = """(SELECT string_agg(words, ', ' ORDER BY rank, number, words) FROM (
    SELECT 1 AS rank, m.amopstrategy AS number, format('OPERATOR %s %s%s', m.amopstrategy, m.amopopr::regoperator,
      (SELECT format(' FOR ORDER BY %I.%I', sn.nspname, s.opfname) FROM pg_opfamily s
        JOIN pg_namespace sn ON sn.oid = s.opfnamespace WHERE s.oid = m.amopsortfamily)) AS words
    FROM pg_amop m JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = m.oid AND d.deptype IN ('a', 'i')
      AND d.refclassid = '{whole}'::regclass AND d.refobjid = c.oid
    UNION ALL SELECT 2, m.amprocnum, format('FUNCTION %s (%s, %s) %s', m.amprocnum, format_type(m.amproclefttype, NULL),
      format_type(m.amprocrighttype, NULL), m.amproc::regprocedure)
    FROM pg_amproc m JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = m.oid
      AND d.deptype IN ('a', 'i') AND d.refclassid = '{whole}'::regclass AND d.refobjid = c.oid) AS member)"""

_FAMILIES = """
SELECT 'operator family', 'pg_opfamily', c.oid, n.nspname, c.opfname, ' using ' || a.amname,
  'CREATE OPERATOR FAMILY ' || named, 'OPERATOR FAMILY ' || named,
  ARRAY['ALTER OPERATOR FAMILY ' || named || ' ADD ' || members]
FROM pg_opfamily c JOIN pg_namespace n ON n.oid = c.opfnamespace JOIN pg_am a ON a.oid = c.opfmethod
CROSS JOIN LATERAL (SELECT format('%I.%I USING %I', n.nspname, c.opfname, a.amname) AS named, {members} AS members) s
WHERE {held}"""

# One that names nothing must still name something: the type that is stored (as pg_dump has it).
_CLASSES = """
SELECT 'operator class', 'pg_opclass', c.oid, n.nspname, c.opcname, ' using ' || a.amname,
  format('CREATE OPERATOR CLASS %I.%I %sFOR TYPE %s USING %I FAMILY %I.%I AS %s', n.nspname, c.opcname,
    CASE WHEN c.opcdefault THEN 'DEFAULT ' ELSE '' END, format_type(c.opcintype, NULL), a.amname,
    fn.nspname, f.opfname, concat_ws(', ',
      CASE WHEN c.opckeytype <> 0 OR members IS NULL
        THEN 'STORAGE ' || format_type(coalesce(nullif(c.opckeytype, 0), c.opcintype), NULL) END, members)),
  format('OPERATOR CLASS %I.%I USING %I', n.nspname, c.opcname, a.amname), NULL
FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace JOIN pg_am a ON a.oid = c.opcmethod
JOIN pg_opfamily f ON f.oid = c.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace
CROSS JOIN LATERAL (SELECT {members} AS members) s WHERE {held}"""

FAMILIES = [
    _FAMILIES.replace("{members}", _MEMBERS.replace("{whole}", "pg_opfamily")),
    _CLASSES.replace("{members}", _MEMBERS.replace("{whole}", "pg_opclass")),
]
