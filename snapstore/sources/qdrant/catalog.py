"""What of a Qdrant a selection means: its collections as `Table`s, with a column for each vector and payload key.

    catalog = read_catalog(session, Selection())
    catalog.tables, catalog.missing

Which keys payloads have is known only to who has read them all, so every point is seen once for that (without its
vectors); docs/decisions/0017 has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snapstore.errors import Invalid, NotFound, Unavailable, Unsupported
from snapstore.rows import Column, Table
from snapstore.sources import Selection
from snapstore.sources.patterns import fits
from snapstore.sources.qdrant.collections import BROKEN, SCHEMA, Shape, list_aliases, list_collections, read_shape
from snapstore.sources.qdrant.connection import Session
from snapstore.sources.qdrant.points import KEY, VALUE, column_of
from snapstore.sources.qdrant.reading import Survey, condition_of, survey_points

__all__ = ["Catalog", "read_catalog"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """Tables that are held, how their points looked and what the server said of them, and what is left out and why."""

    tables: tuple[Table, ...]
    surveys: Mapping[str, Survey]
    states: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...]


def read_catalog(session: Session, selection: Selection, *, absent: bool = False) -> Catalog:
    """The selected collections. Raises `Unsupported` naming what cannot be held, unless the selection is partial, and
    `Invalid` for a pattern that fits nothing, unless that may be (`absent`).
    """
    names, aliases = list_collections(session), list_aliases(session)
    _check_patterns(session, selection, names, aliases, absent=absent)
    tables: list[Table] = []
    surveys: dict[str, Survey] = {}
    states: dict[str, Mapping[str, Any]] = {}
    refused: list[str] = []
    for name in names:
        whole = f"{SCHEMA}.{name}"
        if not _is_meant(session, selection, whole):
            continue
        try:
            shape = read_shape(session, name, aliases)
            where = selection.where.get(whole)
            if selection.rows:
                condition = None if where is None else condition_of(whole, where)
                surveys[whole] = survey_points(session, shape.definition, condition)
        except NotFound:
            continue  # dropped since the list was made
        except (Unsupported, Unavailable) as error:
            if isinstance(error, Unavailable) and not (selection.partial and error.message.startswith(BROKEN)):
                raise
            refused.append(f"table {whole}: {error.message}")
            continue
        keys = surveys[whole].keys if whole in surveys else ()
        tables.append(_table(selection, whole, shape, keys))
        states[whole] = {"status": shape.status, "points": shape.points}
    if refused and not selection.partial:
        told = "\n".join(f"  {line}" for line in refused)
        raise Unsupported(
            f"{len(refused)} thing{'s' if len(refused) > 1 else ''} in this Qdrant cannot be held:\n{told}",
            hint="leave each out with --exclude NAME, or take the rest and name these as missing: --allow-partial",
        )
    return Catalog(tuple(tables), surveys, states, tuple(refused))


def _is_meant(session: Session, selection: Selection, whole: str) -> bool:
    only = session.place.collection
    if only and whole != f"{SCHEMA}.{only}":
        return False
    chosen = not selection.tables or any(whole == one or fits(one, whole) for one in selection.tables)
    return chosen and not any(whole == one or fits(one, whole) for one in selection.exclude)


def _check_patterns(
    session: Session, selection: Selection, names: Sequence[str], aliases: Mapping[str, str], *, absent: bool
) -> None:
    only = session.place.collection
    if absent:
        return
    if only in aliases:
        raise Invalid(
            f"{only} is an alias in {session.shown}, of the collection {aliases[only]}",
            hint="Name the collection: its aliases are held with it.",
        )
    if only and only not in names:
        raise Invalid(
            f"there is no collection {only} in {session.shown}", hint=f"It has: {', '.join(names) or 'none'}."
        )
    for pattern in (*selection.tables, *selection.exclude):
        if not any(f"{SCHEMA}.{name}" == pattern or fits(pattern, f"{SCHEMA}.{name}") for name in names):
            raise Invalid(
                f"no collection of {session.shown} fits the pattern {pattern!r}",
                hint="patterns are names of collections, may use * and ?, and mind capitals",
            )


def _table(selection: Selection, whole: str, shape: Shape, keys: Sequence[str]) -> Table:
    columns = [*shape.columns, *(Column(column_of(key), VALUE) for key in keys)]
    definition = dict(shape.definition)
    table = Table(whole, KEY, tuple(columns), definition)
    patterns = [
        one for one in selection.exclude_columns if one.startswith(f"{whole}.") or fits(one.rpartition(".")[0], whole)
    ]
    out = [
        column.name
        for column in columns
        if _is_excluded(selection.exclude_columns, whole, column.name)
        or (not selection.vectors and column.type != VALUE)
    ]
    # A key that no payload has now is left out all the same: it may have come when a restore asks.
    named = [one.removeprefix(whole + ".") for one in patterns if one.startswith(whole + ".")]
    out += [one for one in named if one not in out and not any(mark in one for mark in "*?")]
    if any(mark in one for one in patterns for mark in "*?"):
        definition["open"] = ""
    if not out and definition["open"]:
        return table
    kept = tuple(column for column in columns if column.name not in out)
    return replace(table, columns=kept, definition={**definition, "left_out": out})


def _is_excluded(patterns: Sequence[str], whole: str, column: str) -> bool:
    name = f"{whole}.{column}"
    return any(one == name or fits(one, name) for one in patterns)
