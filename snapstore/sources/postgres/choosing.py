"""What a selection means in a database: the ids that are chosen, and what is meant and not held, by name and reason.

    chosen = choose(found, Selection(tables=("public.*",)))
    spread(found, chosen)          # what needs something that is left out is left out too
    refuse(chosen, selection)

It decides over ids and names alone and asks no server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from snapstore.errors import Invalid, Unsupported
from snapstore.sources import Selection
from snapstore.sources.patterns import fits
from snapstore.sources.postgres.objects import Objects
from snapstore.sources.postgres.order import closure, in_order
from snapstore.sources.postgres.tables import full_name

__all__ = ["VIEWS", "Chosen", "choose", "owner", "refuse", "spread"]


class Chosen:
    """The ids that are meant and held, and what is meant and not held: refused (with why) or skipped with a word."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.refused: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.excluded: set[str] = set()

    def refuse(self, key: str, reason: str) -> None:
        """Leave it out, and say why."""
        self.ids.discard(key)
        self.refused[key] = reason

    @property
    def missing(self) -> list[str]:
        """What is left out, each with its reason."""
        return [f"{key}: {reason}" for key, reason in {**self.refused, **self.skipped}.items()]


def choose(found: Objects, selection: Selection, absent: bool) -> Chosen:
    """Selected relations and all other things that go with them, before the definitions of tables are looked at."""
    names = {relation.id: full_name(relation.schema, relation.name) for relation in found.relations.values()}
    for key, one in found.objects.items():
        names[key] = full_name(one["schema"], one["name"]) if "schema" in one else one["name"]
    unheld = {thing.id: thing.name for thing in found.unheld}
    chosen = Chosen()
    beneath, above = _partitions(found)
    chosen.excluded = closure(_matching(selection.exclude, {**names, **unheld}, absent), beneath)
    relation_names = {key: name for key, name in names.items() if key.startswith(_RELATIONS)}
    if selection.tables:
        # A partitioned table means its partitions, where its rows are; and they are nothing without it.
        meant = closure(_matching(selection.tables, relation_names, absent), beneath, above) - chosen.excluded
        if selection.leaning:
            views = [key for key in relation_names if key.startswith(VIEWS)]
            meant |= {key for key in views if closure([key], found.needs) & meant} - chosen.excluded
        chosen.ids = _with_needs(found, meant, chosen.excluded)
    else:
        meant = set(relation_names) - chosen.excluded
        chosen.ids = set(names) - chosen.excluded
        for thing in found.unheld:
            if thing.id not in chosen.excluded and not (thing.within and thing.within not in chosen.ids):
                (chosen.skipped if thing.skipped else chosen.refused)[thing.id] = thing.reason
    for thing in found.unheld:  # what is part of a selected relation (a rule, an index) is selected with it
        if thing.within in meant and thing.id not in chosen.excluded:
            (chosen.skipped if thing.skipped else chosen.refused)[thing.id] = thing.reason
    for key in sorted(meant):
        relation = found.relations.get(key)
        if relation is not None and relation.refusal:
            chosen.refuse(key, relation.refusal)
            if relation.skipped:
                chosen.skipped[key] = chosen.refused.pop(key)
    for key in chosen.ids & set(found.out_of_reach):
        chosen.refuse(key, found.out_of_reach[key])
    return chosen


# How the ids begin that a pattern of tables reaches.
_RELATIONS = ("table ", "view ", "materialized view ", "foreign table ", "sequence ")


VIEWS = ("view ", "materialized view ")
"""How the ids of views begin."""


def _with_needs(found: Objects, meant: Collection[str], excluded: Collection[str]) -> set[str]:
    """What was asked for by name, with the objects it needs (functions, types, extensions …) and its own sequences.

    Other tables are not drawn in: where they are needed, `spread` says so.
    """
    owned = set()
    for key, one in found.objects.items():
        if one["kind"] == "sequence" and owner(one) in meant:
            owned.add(key)
    reached = closure([*meant, *owned], _between_others(found, found.needs), _between_others(found, found.uses))
    reached |= {"grants", "default privileges"} & set(found.objects)  # those on what is chosen
    others = {key for key in reached if key in found.objects and key not in found.relations}
    return (set(meant) | others) - set(excluded)


def _partitions(found: Objects) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The partitions of each partitioned table, and the table that each is one of."""
    by_oid = {relation.oid: relation.id for relation in found.relations.values()}
    above = {one.id: [by_oid[one.whole_oid]] for one in found.relations.values() if one.whole_oid in by_oid}
    beneath: dict[str, list[str]] = {}
    for part, [whole] in above.items():
        beneath.setdefault(whole, []).append(part)
    return beneath, above


def owner(sequence: Mapping[str, Any]) -> str:
    """The id of the table whose column owns this sequence, or nothing."""
    owner = sequence["owner"]
    return "" if owner is None else f"table {full_name(owner['schema'], owner['name'])}"


def _between_others(found: Objects, edges: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    return {key: [needed for needed in needs if needed not in found.relations] for key, needs in edges.items()}


def _matching(patterns: Iterable[str], names: Mapping[str, str], absent: bool) -> set[str]:
    """The ids whose names fit one of the patterns; `Invalid` for a pattern that fits none."""
    matched: set[str] = set()
    for pattern in patterns:
        ids = {key for key, name in names.items() if fits(pattern, name)}
        if not ids and not absent:
            raise Invalid(
                f"nothing in this database fits the pattern {pattern!r}",
                hint="patterns are schema.table, may use * and ?, and mind capitals; without a dot they fit any schema",
            )
        matched |= ids
    return matched


def spread(found: Objects, chosen: Chosen, *, is_there: bool = False) -> None:
    """Whatever needs something that is left out, or itself, cannot be made again: refuse it too, and so on.

    Not where it `is_there` and nobody means to make it: a restore asks for the tables alone, and reads their rows.
    """
    for key, other in () if is_there else in_order({key: found.needs.get(key, ()) for key in chosen.ids})[1]:
        chosen.refuse(key, f"it and {other} need each other")
    changed = not is_there
    while changed:
        changed = False
        for key in sorted(chosen.ids):
            needed = found.needs.get(key, set()) | {
                one for one in found.uses.get(key, ()) if not one.startswith("table ")
            }
            lacking = sorted(one for one in needed if one not in chosen.ids)
            if lacking:
                chosen.refuse(key, f"it needs {lacking[0]}, which is left out")
                changed = True
    for key, one in found.objects.items():
        if one["kind"] == "sequence" and owner(one) and owner(one) not in chosen.ids:
            chosen.ids.discard(key)  # it comes and goes with its table, which is named already


def refuse(chosen: Chosen, selection: Selection) -> None:
    """Raise `Unsupported` naming everything that is meant and not held, unless the selection allows a part."""
    if selection.optional:
        # A restore would take what is there and left out for what is not there.
        for name in selection.tables:
            if reason := chosen.refused.get(f"table {name}"):
                raise Unsupported(f"{name} is there, and its rows cannot be held: {reason}", hint=_hint(reason))
    if chosen.refused and not selection.partial:
        lines = "\n".join(f"  {key}: {reason}" for key, reason in sorted(chosen.refused.items()))
        count = len(chosen.refused)
        raise Unsupported(
            f"{count} thing{'s' if count > 1 else ''} in this database cannot be held:\n{lines}",
            hint="leave each out with --exclude NAME, or take the rest and name these as missing: --allow-partial",
        )


def _hint(reason: str) -> str:
    return "use a role that may (its owner, or one with BYPASSRLS)" if "this role" in reason else ""
