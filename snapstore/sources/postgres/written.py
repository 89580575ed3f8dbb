"""Objects that a statement of their own makes, held as that statement: aggregates, operators, casts, collations ….

    for one in read_written(connection):
        print(one.id, one.definition["statements"])     # "cast …", ['CREATE CAST (…) WITH FUNCTION …']

The server has no function that writes these statements, as it has for views and functions. So they are put together in
the server all the same, by its own quoting (`format`, `%I`, `regprocedure`), which is right for every name; each is
what pg_dump writes for the same kind. Fields that only newer servers have are asked for through `to_jsonb`.

It knows nothing of selections or of when a statement runs.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from snapstore.sources.postgres.families import FAMILIES
from snapstore.sources.postgres.tables import full_name, rows_of
from snapstore.sources.postgres.unheld import IN_A_USER_SCHEMA, NOT_OF_AN_EXTENSION

__all__ = ["Written", "read_written"]


@dataclass(frozen=True, slots=True)
class Written:
    """An object with its id, where the server has it (catalogue and OID), and its definition as plain data."""

    id: str
    at: tuple[str, int]
    definition: dict[str, Any]


# Each arm: kind, class, oid, schema, name, what tells it from others of that name, the statement, what COMMENT ON calls
# it, and further statements.
_AGGREGATES = """
SELECT 'aggregate', 'pg_proc', p.oid, n.nspname, p.proname, '(' || pg_get_function_identity_arguments(p.oid) || ')',
  format('CREATE AGGREGATE %s (%s)', signature, concat_ws(', ',
    'SFUNC = ' || a.aggtransfn, 'STYPE = ' || format_type(a.aggtranstype, NULL),
    'SSPACE = ' || nullif(a.aggtransspace, 0),
    'FINALFUNC = ' || nullif(a.aggfinalfn::oid, 0)::regproc, CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
    'FINALFUNC_MODIFY = ' || CASE WHEN a.aggfinalfn <> 0 THEN modifies(a.aggfinalmodify) END,
    'COMBINEFUNC = ' || nullif(a.aggcombinefn::oid, 0)::regproc,
    'SERIALFUNC = ' || nullif(a.aggserialfn::oid, 0)::regproc,
    'DESERIALFUNC = ' || nullif(a.aggdeserialfn::oid, 0)::regproc,
    'INITCOND = ' || quote_literal(a.agginitval),
    'MSFUNC = ' || nullif(a.aggmtransfn::oid, 0)::regproc, 'MINVFUNC = ' || nullif(a.aggminvtransfn::oid, 0)::regproc,
    'MSTYPE = ' || CASE WHEN a.aggmtransfn <> 0 THEN format_type(a.aggmtranstype, NULL) END,
    'MSSPACE = ' || nullif(a.aggmtransspace, 0),
    'MFINALFUNC = ' || nullif(a.aggmfinalfn::oid, 0)::regproc, CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
    'MFINALFUNC_MODIFY = ' || CASE WHEN a.aggmfinalfn <> 0 THEN modifies(a.aggmfinalmodify) END,
    'MINITCOND = ' || quote_literal(a.aggminitval),
    (SELECT format('SORTOP = OPERATOR(%I.%s)', sn.nspname, s.oprname) FROM pg_operator s
      JOIN pg_namespace sn ON sn.oid = s.oprnamespace WHERE s.oid = a.aggsortop),
    'PARALLEL = ' || CASE p.proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' END,
    CASE WHEN a.aggkind = 'h' THEN 'HYPOTHETICAL' END)),
  'AGGREGATE ' || signature, NULL::text[]
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (SELECT format('%I.%I(%s)', n.nspname, p.proname,
  coalesce(nullif(pg_get_function_identity_arguments(p.oid), ''), '*')) AS signature) s
WHERE {held}""".replace(
    "modifies(a.aggfinalmodify)",
    "CASE a.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END",
).replace(
    "modifies(a.aggmfinalmodify)",
    "CASE a.aggmfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END",
)

# One without a function is a shell that another's COMMUTATOR or NEGATOR made; that clause makes it again.
_OPERATORS = """
SELECT 'operator', 'pg_operator', o.oid, n.nspname, o.oprname, '(' || sides || ')',
  format('CREATE OPERATOR %I.%s (%s)', n.nspname, o.oprname, concat_ws(', ',
    'FUNCTION = ' || o.oprcode, 'LEFTARG = ' || format_type(nullif(o.oprleft, 0), NULL),
    'RIGHTARG = ' || format_type(nullif(o.oprright, 0), NULL),
    (SELECT format('COMMUTATOR = OPERATOR(%I.%s)', cn.nspname, c.oprname) FROM pg_operator c
      JOIN pg_namespace cn ON cn.oid = c.oprnamespace WHERE c.oid = o.oprcom),
    (SELECT format('NEGATOR = OPERATOR(%I.%s)', cn.nspname, c.oprname) FROM pg_operator c
      JOIN pg_namespace cn ON cn.oid = c.oprnamespace WHERE c.oid = o.oprnegate),
    'RESTRICT = ' || nullif(o.oprrest::oid, 0)::regproc, 'JOIN = ' || nullif(o.oprjoin::oid, 0)::regproc,
    CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END)),
  format('OPERATOR %I.%s (%s)', n.nspname, o.oprname, sides), NULL
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
CROSS JOIN LATERAL (SELECT coalesce(format_type(nullif(o.oprleft, 0), NULL), 'NONE') || ', '
  || coalesce(format_type(nullif(o.oprright, 0), NULL), 'NONE') AS sides) s
WHERE o.oprcode <> 0 AND {held}"""

_CASTS = """
SELECT 'cast', 'pg_cast', c.oid, NULL, pair, '',
  format('CREATE CAST (%s) %s%s', pair, CASE c.castmethod WHEN 'b' THEN 'WITHOUT FUNCTION' WHEN 'i' THEN 'WITH INOUT'
    ELSE 'WITH FUNCTION ' || c.castfunc::regprocedure END,
    CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END),
  format('CAST (%s)', pair), NULL
FROM pg_cast c CROSS JOIN LATERAL (
  SELECT format_type(c.castsource, NULL) || ' AS ' || format_type(c.casttarget, NULL) AS pair) s WHERE {held}"""

# Names of locales moved twice: to colliculocale in 15, to colllocale in 17.
_COLLATIONS = """
SELECT 'collation', 'pg_collation', c.oid, n.nspname, c.collname, '',
  format('CREATE COLLATION %s (%s)', named, concat_ws(', ',
    'PROVIDER = ' || CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
    CASE WHEN NOT c.collisdeterministic THEN 'DETERMINISTIC = false' END,
    'LOCALE = ' || quote_literal(locale),
    CASE WHEN locale IS NULL THEN 'LC_COLLATE = ' || quote_literal(c.collcollate) END,
    CASE WHEN locale IS NULL THEN 'LC_CTYPE = ' || quote_literal(c.collctype) END,
    'RULES = ' || quote_literal(to_jsonb(c)->>'collicurules'))),
  'COLLATION ' || named, NULL
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
CROSS JOIN LATERAL (SELECT format('%I.%I', n.nspname, c.collname) AS named,
  coalesce(to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale',
    CASE WHEN c.collcollate = c.collctype THEN c.collcollate::text END) AS locale) s WHERE {held}"""

_CONVERSIONS = """
SELECT 'conversion', 'pg_conversion', c.oid, n.nspname, c.conname, '',
  format('CREATE %sCONVERSION %I.%I FOR %L TO %L FROM %s', CASE WHEN c.condefault THEN 'DEFAULT ' ELSE '' END,
    n.nspname, c.conname, pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding), c.conproc),
  format('CONVERSION %I.%I', n.nspname, c.conname), NULL
FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {held}"""

_TEXT_SEARCH = [
    """
SELECT 'text search parser', 'pg_ts_parser', c.oid, n.nspname, c.prsname, '',
  format('CREATE TEXT SEARCH PARSER %I.%I (%s)', n.nspname, c.prsname, concat_ws(', ', 'START = ' || c.prsstart,
    'GETTOKEN = ' || c.prstoken, 'END = ' || c.prsend, 'HEADLINE = ' || nullif(c.prsheadline::oid, 0)::regproc,
    'LEXTYPES = ' || c.prslextype)),
  format('TEXT SEARCH PARSER %I.%I', n.nspname, c.prsname), NULL
FROM pg_ts_parser c JOIN pg_namespace n ON n.oid = c.prsnamespace WHERE {held}""",
    """
SELECT 'text search template', 'pg_ts_template', c.oid, n.nspname, c.tmplname, '',
  format('CREATE TEXT SEARCH TEMPLATE %I.%I (%s)', n.nspname, c.tmplname, concat_ws(', ',
    'INIT = ' || nullif(c.tmplinit::oid, 0)::regproc, 'LEXIZE = ' || c.tmpllexize)),
  format('TEXT SEARCH TEMPLATE %I.%I', n.nspname, c.tmplname), NULL
FROM pg_ts_template c JOIN pg_namespace n ON n.oid = c.tmplnamespace WHERE {held}""",
    """
SELECT 'text search dictionary', 'pg_ts_dict', c.oid, n.nspname, c.dictname, '',
  format('CREATE TEXT SEARCH DICTIONARY %I.%I (%s)', n.nspname, c.dictname, concat_ws(', ',
    format('TEMPLATE = %I.%I', tn.nspname, t.tmplname), c.dictinitoption)),
  format('TEXT SEARCH DICTIONARY %I.%I', n.nspname, c.dictname), NULL
FROM pg_ts_dict c JOIN pg_namespace n ON n.oid = c.dictnamespace
JOIN pg_ts_template t ON t.oid = c.dicttemplate JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE {held}""",
    """
SELECT 'text search configuration', 'pg_ts_config', c.oid, n.nspname, c.cfgname, '',
  format('CREATE TEXT SEARCH CONFIGURATION %I.%I (PARSER = %I.%I)', n.nspname, c.cfgname, pn.nspname, p.prsname),
  format('TEXT SEARCH CONFIGURATION %I.%I', n.nspname, c.cfgname),
  ARRAY(SELECT format('ALTER TEXT SEARCH CONFIGURATION %I.%I ADD MAPPING FOR %I WITH %s', n.nspname, c.cfgname, k.alias,
      string_agg(format('%I.%I', dn.nspname, d.dictname), ', ' ORDER BY m.mapseqno))
    FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) k ON k.tokid = m.maptokentype
    JOIN pg_ts_dict d ON d.oid = m.mapdict JOIN pg_namespace dn ON dn.oid = d.dictnamespace
    WHERE m.mapcfg = c.oid GROUP BY k.alias, m.maptokentype ORDER BY m.maptokentype)
FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace
JOIN pg_ts_parser p ON p.oid = c.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE {held}""",
]

_LANGUAGES = """
SELECT 'language', 'pg_language', c.oid, NULL, c.lanname, '',
  format('CREATE %sLANGUAGE %I HANDLER %s', CASE WHEN c.lanpltrusted THEN 'TRUSTED ' ELSE '' END, c.lanname, concat_ws(
    ' ', c.lanplcallfoid::regproc, 'INLINE ' || nullif(c.laninline, 0)::regproc,
    'VALIDATOR ' || nullif(c.lanvalidator, 0)::regproc)),
  format('LANGUAGE %I', c.lanname), NULL
FROM pg_language c WHERE c.lanispl AND {held}"""

_TRANSFORMS = """
SELECT 'transform', 'pg_transform', c.oid, NULL, pair, '',
  format('CREATE TRANSFORM FOR %s (%s)', pair, concat_ws(', ',
    'FROM SQL WITH FUNCTION ' || nullif(c.trffromsql::oid, 0)::regprocedure,
    'TO SQL WITH FUNCTION ' || nullif(c.trftosql::oid, 0)::regprocedure)),
  'TRANSFORM FOR ' || pair, NULL
FROM pg_transform c JOIN pg_language l ON l.oid = c.trflang
CROSS JOIN LATERAL (SELECT format('%s LANGUAGE %I', format_type(c.trftype, NULL), l.lanname) AS pair) s WHERE {held}"""

_ACCESS_METHODS = """
SELECT 'access method', 'pg_am', c.oid, NULL, c.amname, '',
  format('CREATE ACCESS METHOD %I TYPE %s HANDLER %s', c.amname, CASE c.amtype WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END,
    c.amhandler),
  format('ACCESS METHOD %I', c.amname), NULL
FROM pg_am c WHERE {held}"""

_EVENT_TRIGGERS = """
SELECT 'event trigger', 'pg_event_trigger', c.oid, NULL, c.evtname, '',
  format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION %s()', c.evtname, c.evtevent,
    ' WHEN TAG IN (' || (SELECT string_agg(quote_literal(tag), ', ') FROM unnest(c.evttags) tag) || ')',
    c.evtfoid::regproc),
  format('EVENT TRIGGER %I', c.evtname),
  CASE c.evtenabled WHEN 'D' THEN ARRAY[format('ALTER EVENT TRIGGER %I DISABLE', c.evtname)]
    WHEN 'R' THEN ARRAY[format('ALTER EVENT TRIGGER %I ENABLE REPLICA', c.evtname)]
    WHEN 'A' THEN ARRAY[format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', c.evtname)] END
FROM pg_event_trigger c WHERE {held}"""

# Parts of something else ('i': the cast that a range type brings with it) come with that. 16384 is FirstNormalObjectId:
# below it stands only what initdb made (src/include/access/transam.h).
_ARMS = [
    arm.replace(
        "{held}",
        (f"{IN_A_USER_SCHEMA} AND " if "pg_namespace n " in arm else "")
        + f"{letter}.oid >= 16384 AND "
        + NOT_OF_AN_EXTENSION.format(arm.split("'")[3], letter).replace("= 'e'", "IN ('e', 'i')"),
    )
    for letter, arm in [
        ("p", _AGGREGATES),
        ("o", _OPERATORS),
        *(("c", one) for one in [_CASTS, _COLLATIONS, _CONVERSIONS, *_TEXT_SEARCH, *FAMILIES]),
        *(("c", one) for one in [_LANGUAGES, _TRANSFORMS, _ACCESS_METHODS, _EVENT_TRIGGERS]),
    ]
]
_QUERY = (
    "SELECT kind, class, oid::int8 AS oid, schema::text, name::text, signature, statement, "
    "'COMMENT ON ' || called || ' IS ' || quote_literal(obj_description(oid, class::name)) AS comment, further FROM ("
    + "\nUNION ALL ".join(_ARMS)
    + ") AS one(kind, class, oid, schema, name, signature, statement, called, further) ORDER BY 1, 4, 5, 6"
)


def read_written(connection: psycopg.Connection[Any]) -> list[Written]:
    """All objects of these kinds that are the user's own. One query."""
    found = []
    for row in rows_of(connection, _QUERY):
        name = full_name(row["schema"], row["name"]) if row["schema"] is not None else row["name"]
        place = {"schema": row["schema"], "name": row["name"]} if row["schema"] is not None else {"name": row["name"]}
        statements = [row["statement"], *(row["further"] or ()), row["comment"]]
        definition = {"kind": row["kind"], **place, "statements": [one for one in statements if one is not None]}
        found.append(Written(f"{row['kind']} {name}{row['signature']}", (row["class"], row["oid"]), definition))
    return found
