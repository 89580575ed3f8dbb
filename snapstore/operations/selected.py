"""What a take was asked for, as plain values in the manifest: so that `live` later means the same rows.

    fields = selection_fields(Selection(where={"public.memories": "heat > 0.5"}))
    selection_of(fields)                    # the same selection again
    is_filtered(fields)                     # True: it is not the whole source

It does not know what a source makes of a selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from snapstore.sources import Selection

__all__ = ["files_of", "filter_of", "is_filtered", "selection_fields", "selection_of"]


def selection_fields(selection: Selection) -> dict[str, Any]:
    """A selection as plain values."""
    files = {"only": list(selection.only), "ignore": list(selection.ignore), "attributes": selection.attributes}
    return {
        **{word: value for word, value in files.items() if value},
        "tables": list(selection.tables),
        "exclude": list(selection.exclude),
        "exclude_columns": list(selection.exclude_columns),
        "where": dict(selection.where),
        "columns": {table: list(names) for table, names in selection.columns.items()},
        "filter": list(selection.filter),
        "vectors": selection.vectors,
        "rows": selection.rows,
        "partial": selection.partial,
    }


def files_of(fields: Mapping[str, Any]) -> Selection:
    """Of the selection a snapshot's source was taken with, what chooses files and what of them is held."""
    return Selection(
        only=tuple(fields.get("only", ())),
        ignore=tuple(fields.get("ignore", ())),
        attributes=bool(fields.get("attributes", False)),
    )


def selection_of(fields: Mapping[str, Any]) -> Selection:
    """The selection a snapshot's source was taken with."""
    return replace(
        files_of(fields),
        tables=tuple(fields.get("tables", ())),
        exclude=tuple(fields.get("exclude", ())),
        exclude_columns=tuple(fields.get("exclude_columns", ())),
        where=dict(fields.get("where", {})),
        columns={table: tuple(names) for table, names in fields.get("columns", {}).items()},
        filter=tuple(fields.get("filter", ())),
        vectors=bool(fields.get("vectors", True)),
        rows=bool(fields.get("rows", True)),
        partial=bool(fields.get("partial", False)),
    )


def filter_of(fields: Mapping[str, Any]) -> list[object]:
    """What decides which cells of a table are read: tables of two selections may be compared where this is the same."""
    narrowing = [fields.get(what) or None for what in ("where", "columns", "exclude_columns", "only", "ignore")]
    return [*narrowing, bool(fields.get("vectors", True)), bool(fields.get("rows", True))]


def is_filtered(fields: Mapping[str, Any]) -> bool:
    """Whether less than the whole source was asked for."""
    return filter_of(fields) != filter_of({}) or bool(fields.get("tables") or fields.get("exclude"))
