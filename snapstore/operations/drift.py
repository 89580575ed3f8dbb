"""How a live table came to differ from the snapshot's in everything but its rows: side by side, and what becomes of it.

    for one in drift(live_table, wanted_table):
        one.what, one.live, one.snapshot, one.outcome
        # 'column heat', 'real', 'double precision', 'converted without loss'

What a table is made of stands in its definition as the source wrote it (`Table.definition`): `columns`, `constraints`,
`partition_key`, `partition_of`, `inherits`, `indexes`, `triggers`. A source that lists none of these has the columns
it stores. An index or trigger that only the live table has is no drift: making the table anew would only lose it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snapstore.operations.diff import retyped
from snapstore.operations.state import StateTable
from snapstore.rows import Table

__all__ = ["Drift", "drift", "kin", "of_other_types", "partitions_of"]


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `live` or `snapshot` is empty where that side lacks it; `outcome` is what a restore does.

    `is_shape` says that making the table anew would undo it.
    """

    what: str
    live: str
    snapshot: str
    outcome: str
    is_shape: bool = True


def drift(
    live: StateTable,
    wanted: StateTable,
    *,
    recreate: bool = False,
    partitions: tuple[Collection[Table], Collection[Table]] = ((), ()),
) -> tuple[Drift, ...]:
    """Every difference, columns first. `partitions` are those of the live table and of the snapshot's.

    With `recreate` the outcomes are those of making the table anew.
    """
    was = wanted.was or wanted.table
    now, then = _traits(live.table), _traits(was)
    then |= _extras(was)
    now |= {what: told for what, told in _extras(live.table).items() if what in then}
    mixed = {f"column {name}": parts for name, parts in _of_other_parts(live.table, was).items()}
    for what, (is_now, before) in mixed.items():
        now[what] += f" of {is_now}"
        then[what] += f" of {before}"
    found = []
    for what in dict.fromkeys([*then, *now]):
        if now.get(what) != then.get(what):
            outcome = "cannot be converted" if what in mixed else _outcome(what, now, then, live.table, wanted)
            if recreate:
                outcome = "made as in the snapshot"
            found.append(Drift(what, now.get(what, ""), then.get(what, ""), outcome))
    mine, theirs = ({f"partition {one.name}": _bound(one) for one in side} for side in partitions)
    for what in dict.fromkeys([*theirs, *mine]):
        if what not in mine:
            found.append(Drift(what, "", theirs[what], "will be made", is_shape=False))
        elif what not in theirs:
            found.append(Drift(what, mine[what], "", "its rows are left alone", is_shape=False))
    return tuple(found)


def of_other_types(live: Table, wanted: Table) -> list[str]:
    """The columns of both that were declared otherwise in the snapshot."""
    now = live.declared_types | {part.name: part.type for part in live.key}
    then = wanted.declared_types | {part.name: part.type for part in wanted.key}
    return [name for name in then if name in now and now[name] != then[name]]


def kin(tables: Iterable[Table], names: Collection[str]) -> set[str]:
    """These tables with all that are parts of them, or of which they are parts: they are dropped and made together."""
    by_place = {_place(table.definition): table for table in tables}
    parents = {
        table.name: {by_place[_place(one)].name for one in _parents(table) if _place(one) in by_place}
        for table in by_place.values()
    }
    found = set(names)
    while True:
        more = {name for name, own in parents.items() if not found.isdisjoint(own)}
        more |= {parent for name in found for parent in parents.get(name, ())}
        if more <= found:
            return found
        found |= more


def partitions_of(table: Table, others: Iterable[Table]) -> list[Table]:
    """Those of the others that are partitions of this table."""
    if "partition_key" not in table.definition:
        return []
    place = _place(table.definition)
    return [one for one in others if "partition_of" in one.definition and _place(*_parents(one)) == place]


def _parents(table: Table) -> Sequence[Mapping[str, Any]]:
    definition = table.definition
    return [definition["partition_of"]] if "partition_of" in definition else definition.get("inherits", ())


def _place(one: Mapping[str, Any]) -> tuple[object, object]:
    """The schema and the name of a table, of whichever it is said."""
    return one.get("schema"), one.get("name")


def _bound(table: Table) -> str:
    return str(table.definition["partition_of"]["bound"])


def _traits(table: Table) -> dict[str, str]:
    """What a table is made of, and how it is declared, in the order in which people read it."""
    definition = table.definition
    listed = definition.get("columns")
    if listed is None:
        traits = {f"column {name}": declared for name, declared in table.declared_types.items()}
    else:
        traits = {f"column {column['name']}": _column(column) for column in listed}
    traits["key"] = _key(table)
    for one in definition.get("constraints", ()):
        if one["kind"] != "primary key":
            traits[f"{one['kind']} {one['name']}"] = one["definition"]
    if "partition_key" in definition:
        traits["partitioned by"] = definition["partition_key"]
    if "partition_of" in definition:
        above = definition["partition_of"]
        traits["partition of"] = f"{above['schema']}.{above['name']} {above['bound']}"
    if "inherits" in definition:
        traits["inherits"] = ", ".join(f"{one['schema']}.{one['name']}" for one in definition["inherits"])
    return traits


def _extras(table: Table) -> dict[str, str]:
    """Its indexes and triggers, as their statements."""
    found = {}
    for key, word in (("indexes", "index"), ("triggers", "trigger")):
        listed = table.definition.get(key, ())
        for one in listed if isinstance(listed, list | tuple) else ():
            found[f"{word} {one['name']}"] = str(one.get("definition") or one.get("sql"))
    return found


def _of_other_parts(live: Table, was: Table) -> dict[str, tuple[str, str]]:
    """What the columns are made of now, and were, whose type is another one under the name it had: a domain over
    something else, a table of which cells are rows.
    """
    now, then = live.declared_types, was.declared_types
    return {name: (is_now.type, before.type) for name, is_now, before in retyped(live, was) if now[name] == then[name]}


def _column(column: Mapping[str, Any]) -> str:
    words = [str(column["type"])]
    if column.get("collation"):
        words.append(f"COLLATE {column['collation']}")
    if column.get("not_null"):
        words.append("NOT NULL")
    if column.get("default") is not None:
        words.append(f"DEFAULT {column['default']}")
    if column.get("identity"):
        words.append(f"GENERATED {column['identity'].upper()} AS IDENTITY")
    if column.get("generated"):
        words.append(f"GENERATED ALWAYS AS ({column['generated']['expression']}) {column['generated']['kind'].upper()}")
    return " ".join(words)


def _key(table: Table) -> str:
    return "none" if table.by_content else f"({', '.join(part.name for part in table.key)})"


def _outcome(what: str, now: Mapping[str, str], then: Mapping[str, str], live: Table, wanted: StateTable) -> str:
    kind, _, name = what.partition(" ")
    if what == "key":
        return "rows cannot be matched"
    if kind == "column":
        if what not in now:
            return "not restored"
        if what not in then:
            return "kept; its default in rows that are inserted"
        if name in wanted.turned:
            return wanted.turned[name]
        return "cannot be converted" if name in of_other_types(live, wanted.table) else "stays as it is live"
    if kind in ("partitioned", "partition", "inherits"):
        return "stays as it is live"
    if what not in now:
        return "not made again"
    return "stays as it is live" if kind in ("index", "trigger") else "must hold for what is restored"
