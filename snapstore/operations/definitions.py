"""What became of what is declared around rows: indexes, constraints, defaults, triggers, views, functions, settings.

    for one in definition_changes(before, after):
        one.source, one.name, one.what            # 'agents', 'index by_heat of public.memories', Became.GONE

Whole tables, their keys, and columns that came, went or have another type are told by `snapstore.operations.diff`. What
the parts of a definition mean only its source knows: here they have names, and are equal or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from snapstore.operations.diff import pairs, shape_differences
from snapstore.operations.state import State
from snapstore.rows import Table

__all__ = ["Became", "Redefined", "definition_changes"]


class Became(StrEnum):
    """What became of something that is declared."""

    GONE = "gone"
    NEW = "new"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Redefined:
    """One thing that was declared otherwise before."""

    source: str
    name: str
    what: Became


# One of a list, in the words of people; a constraint says its own kind.
_ONE_OF = {
    "columns": "column",
    "constraints": "constraint",
    "indexes": "index",
    "policies": "policy",
    "triggers": "trigger",
    "view_triggers": "trigger",
    "views": "view",
    "virtual": "table",
}
# Which thing needs which says nothing of its own, and these move with rows.
_NOT_DECLARED = frozenset({"needs", "uses", "tables", "sequences", "has_statistics"})
_MOVED_BY_ROWS = frozenset({"state"})


def definition_changes(before: State, after: State) -> Iterator[Redefined]:
    """What is declared otherwise in `after`, in order: what tables both have are made of, then all else."""
    for old, new in pairs(before, after):
        if old is not None and new is not None and old.entry.schema != new.entry.schema:
            yield from _of_table(new.source, old.table, new.table)
    there = {one.source: one for one in before.beyond}
    # Two databases compare whatever they are called, as their tables do.
    if len(there) == len(after.beyond) == 1:
        there = {after.beyond[0].source: before.beyond[0]}
    for now in after.beyond:
        then = there.get(now.source)
        if then is not None and then.objects != now.objects:
            yield from _compared(now.source, dict(_beyond(then.read())), dict(_beyond(now.read())))


def _of_table(source: str, old: Table, new: Table) -> Iterator[Redefined]:
    shape = shape_differences(old, new)
    was, is_now = (dict(_parts(own.definition, old.name)) for own in (old, new))
    # A column that is on one side alone, or has another type, is a difference of shape.
    same = {name for name, type in old.declared_types.items() if new.declared_types.get(name) == type}
    for own in (was, is_now):
        for name in [name for name in own if name.startswith("column ")]:
            if name.removeprefix("column ").removesuffix(f" of {old.name}") not in same:
                del own[name]
    found = list(_compared(source, was, is_now))
    yield from found
    if not found and not shape and _rest(old.definition) != _rest(new.definition):
        yield Redefined(source, f"table {old.name}", Became.CHANGED)


def _compared(source: str, was: Mapping[str, Any], is_now: Mapping[str, Any]) -> Iterator[Redefined]:
    for name in dict.fromkeys([*was, *is_now]):
        if name not in is_now:
            yield Redefined(source, name, Became.GONE)
        elif name not in was:
            yield Redefined(source, name, Became.NEW)
        elif was[name] != is_now[name]:
            yield Redefined(source, name, Became.CHANGED)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, Mapping) and "name" in one for one in value)


def _parts(definition: Mapping[str, Any], owner: str) -> Iterator[tuple[str, Any]]:
    """Each part that has a name, of the table or the source that owns it."""
    of = f" of {owner}" if owner else ""
    for key, value in definition.items():
        if key not in _NOT_DECLARED and _is_list(value):
            for one in value:
                word = str(one["kind"]) if key == "constraints" else _ONE_OF.get(key, key)
                yield f"{word} {one['name']}{of}", one


def _rest(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What of a table's definition is no part with a name."""
    return {key: value for key, value in definition.items() if key not in _NOT_DECLARED and not _is_list(value)}


def _beyond(definition: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What else a source has: its objects by id, and its settings."""
    for name, one in definition.get("objects", {}).items():
        told = "privileges" if name == "grants" else name
        yield told, {part: value for part, value in one.items() if part not in _MOVED_BY_ROWS}
    yield from _parts({key: value for key, value in definition.items() if key != "objects"}, "")
    for key, value in _rest(definition).items():
        if key != "objects":
            yield f"setting {key}", value
