"""Points page by page, in the order of their ids, as batches of columns; and which keys their payloads have.

    survey = survey_points(session, shape.definition)   # keys, and a digest to know them by
    for batch in read_points(session, table):
        ...

A page follows the one before by its last id, so points that others write meanwhile are seen or not; each point is seen
as one. Whoever wants to know whether anything moved compares two surveys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from snapstore.errors import Conflict, Corrupt, Invalid, Unavailable, Unsupported
from snapstore.rows import Batch, Cells, Column, Table
from snapstore.sources.qdrant.collections import normalised_columns, page_limit
from snapstore.sources.qdrant.connection import Session
from snapstore.sources.qdrant.points import (
    SPARSE,
    VALUE,
    column_of,
    id_cell,
    key_of,
    settled,
    value_cell,
    vector_cell,
    vector_name,
)

__all__ = ["Survey", "condition_of", "read_points", "survey_points"]

_FIRST, _MOST = 64, 2048
_PAGE_BYTES = 4 << 20
_CELLS = 1 << 18
"""Cells of a batch at most: collections may have thousands of keys."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The points as they were seen: how many, the keys of their payloads, and a digest of ids and payloads."""

    points: int
    keys: tuple[str, ...]
    digest: bytes


class Surveyor:
    """Makes a survey of points as they pass."""

    def __init__(self) -> None:
        self._points = 0
        self._keys: set[str] = set()
        self._hash = hashlib.blake2b(digest_size=16)

    def see(self, ids: Sequence[bytes], payloads: Sequence[Mapping[str, Any]]) -> None:
        """Some points, in order."""
        self._points += len(ids)
        for own, payload in zip(ids, payloads, strict=True):
            self._keys.update(payload)
            body = value_cell(payload)
            self._hash.update(own + len(body).to_bytes(8, "big") + body)

    @property
    def survey(self) -> Survey:
        """Of all points so far."""
        return Survey(self._points, tuple(sorted(self._keys)), self._hash.digest())


def condition_of(table: str, where: str) -> models.Filter:
    """A filter as Qdrant writes them in JSON. Raises `Invalid`."""
    try:
        return models.Filter.model_validate_json(where)
    except ValueError as error:
        said = " ".join(str(error).split())[:200]
        raise Invalid(
            f"the condition for {table} ({where}) is no filter of Qdrant: {said}",
            hint='Write one in JSON: {"must": [{"key": "user", "match": {"value": "ann"}}]}',
        ) from error


def survey_points(session: Session, definition: Mapping[str, Any], where: models.Filter | None = None) -> Survey:
    """Read ids and payloads, without vectors, of the collection with this definition."""
    surveyor, most = Surveyor(), page_limit(definition, _MOST)
    for ids, _, payloads in _pages(session, definition["name"], where, vectors=False, most=most):
        surveyor.see(ids, payloads)
    return surveyor.survey


def read_points(
    session: Session, table: Table, *, where: models.Filter | None = None, surveyor: Surveyor | None = None
) -> Iterator[Batch]:
    """Batches of about 4 MB. Raises `Conflict` for a key of a payload that the table has no column for: somebody wrote
    it meanwhile, and the same may succeed at once.
    """
    name = table.definition["name"]
    vectors = [column for column in table.columns if column.type != VALUE]
    keys = {key_of(column.name): column.name for column in table.columns if column.type == VALUE}
    left_out = {key_of(one) for one in table.definition.get("left_out", ())}
    # Local mode normalises whenever it opens its folder, so what it gives is not what it gives the next time.
    moving = normalised_columns(table) if session.is_local else set()
    names = [vector_name(column.name) for column in vectors]
    wanted: bool | list[str] = True if "" in names else names or False
    step = max(_FIRST, _CELLS // (1 + len(table.columns)))
    most = page_limit(table.definition, min(_MOST, step))
    for ids, records, payloads in _pages(session, name, where, vectors=wanted, most=most):
        if surveyor is not None:
            surveyor.see(ids, payloads)
        _check_keys(table, payloads, keys, left_out)
        cells: dict[str, Cells] = {}
        for key, column in keys.items():
            own = [value_cell(payload[key]) if key in payload else None for payload in payloads]
            cells[column] = Cells.of(own)
        named = [_named(record.vector) for record in records]
        for one in vectors:
            found = Cells.of([_vector(one, of_point, ids[at]) for at, of_point in enumerate(named)])
            cells[one.name] = settled(one, found) if one.name in moving else found
        yield Batch(Cells.of(ids, width=17), tuple(cells[column.name] for column in table.columns))


def _vector(column: Column, vectors: Mapping[str, Any], point: bytes) -> bytes | None:
    found = vectors.get(vector_name(column.name))
    try:
        if found is None or (column.type == SPARSE and not hasattr(found, "indices")):
            if found is not None:
                raise Unsupported(f"{column.name} is not a vector of its kind")
            return None
        return vector_cell(column, found)
    except Unsupported as error:
        raise Unsupported(f"the point {point.hex()}: {error.message}") from error


def _named(vector: Any) -> Mapping[str, Any]:
    """Every vector of a point by its name."""
    if vector is None:
        return {}
    return vector if isinstance(vector, Mapping) else {"": vector}


def _check_keys(
    table: Table, payloads: Sequence[Mapping[str, Any]], keys: Mapping[str, str], left_out: Collection[str]
) -> None:
    for payload in payloads:
        for key in payload:
            if key not in keys and key not in left_out and column_of(key) not in left_out:
                raise Conflict(
                    f"{table.name}: the key {key!r} came into its payloads while they were read",
                    hint="Somebody is writing to the collection; take it again.",
                    again=True,
                )


def _pages(
    session: Session, name: str, where: models.Filter | None, *, vectors: bool | list[str], most: int
) -> Generator[tuple[list[bytes], list[models.Record], list[dict[str, Any]]], None, None]:
    """Ids as cells, and the points, in ascending order; the next page is asked for in the measure of the last one."""
    failing = f"the points of {name} cannot be read"
    limit, offset, last = min(_FIRST, most), None, b""
    while True:
        records, offset = session.ask(
            failing,
            "scroll",
            collection_name=name,
            scroll_filter=where,
            limit=limit,
            offset=offset,
            with_payload=True,
            with_vectors=vectors,
        )
        ids = [_id(name, record.id) for record in records]
        for own in ids:
            if own <= last:
                raise Unavailable(
                    f"{session.shown}: {failing}: they do not come in the order of their ids",
                    hint="Is it a Qdrant, and a recent one?",
                )
            last = own
        if ids:
            payloads = [dict(record.payload or {}) for record in records]
            yield ids, records, payloads
            limit = _next_limit(limit, records, payloads, most)
        if offset is None:
            return
        if not ids:
            raise Unavailable(f"{session.shown}: {failing}: a page without points says that more follow")


def _id(name: str, found: Any) -> bytes:
    try:
        return id_cell(found)
    except (ValueError, OverflowError, AttributeError) as error:
        raise Corrupt(f"{name} has a point with the id {found!r}, which is none") from error


def _next_limit(limit: int, records: Sequence[models.Record], payloads: Sequence[Any], most: int) -> int:
    """As many as make a page of about `_PAGE_BYTES`, by the size of some; at most four times as many as before."""
    some = range(0, len(records), max(1, len(records) // 8))
    sizes = [len(value_cell(payloads[at])) + _bytes_of(records[at].vector) for at in some]
    fitting = _PAGE_BYTES * len(sizes) // max(1, sum(sizes))
    return max(1, min(most, fitting, 4 * limit))


def _bytes_of(vector: Any) -> int:
    """Roughly the JSON of a vector."""
    if isinstance(vector, Mapping):
        return sum(map(_bytes_of, vector.values()))
    if hasattr(vector, "indices"):
        return 20 * len(vector.indices)
    if isinstance(vector, list) and vector and isinstance(vector[0], list):
        return 12 * len(vector) * len(vector[0])
    return 12 * len(vector) if isinstance(vector, list) else 0
