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
_WHOLE = frozenset({"sql", "primary_key"})


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
            was, is_now = then.read(), now.read()
            found = list(_compared(now.source, dict(_beyond(was)), dict(_beyond(is_now))))
            yield from found
            for name in _set_back(was, is_now):
                if all(one.name != name for one in found):
                    yield Redefined(now.source, name, Became.CHANGED)


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
    rests = [_rest(own.definition) for own in (old, new)]
    if found or shape:  # which are in the words of the whole too
        rests = [{key: value for key, value in own.items() if key not in _WHOLE} for own in rests]
    if rests[0] != rests[1]:
        yield Redefined(source, f"table {old.name}", Became.CHANGED)


def _compared(source: str, was: Mapping[str, Any], is_now: Mapping[str, Any]) -> Iterator[Redefined]:
    for name in dict.fromkeys([*was, *is_now]):
        if name not in is_now:
            yield Redefined(source, name, Became.GONE)
        elif name not in was:
            yield Redefined(source, name, Became.NEW)
        elif was[name] != is_now[name]:
            yield Redefined(source, name, Became.CHANGED)


def _set_back(was: Mapping[str, Any], is_now: Mapping[str, Any]) -> Iterator[str]:
    """The sequences that would give out a number again: rows only ever move them on."""
    for name, old in was.get("objects", {}).items():
        state, now = old.get("state"), is_now.get("objects", {}).get(name, {}).get("state")
        if old["kind"] == "sequence" and state and now and not old.get("cycle"):
            sign = -1 if old["increment"] < 0 else 1
            if (sign * now[0], now[1]) < (sign * state[0], state[1]):
                yield name
    for name, value in was.get("sequences", {}).items():
        if is_now.get("sequences", {}).get(name, value) < value:
            yield f"sequence {name}"


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
