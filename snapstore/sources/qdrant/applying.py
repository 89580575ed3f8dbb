"""Points into a collection, out of it, and changed in it: by batches, each waited for.

    insert_points(session, table, batches, done)
    update_points(session, table, ["heat"], batches, done)
    delete_points(session, table, keys, done)

Only what is named is set: a payload's other keys and a point's other vectors stay. Each batch that was carried out is
told to `done`, since nothing takes it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from qdrant_client import models

from snapstore.errors import Conflict
from snapstore.rows import Batch, Cells, Column, Table
from snapstore.sources.qdrant.connection import Session
from snapstore.sources.qdrant.points import SPARSE, VALUE, ids_of, key_of, value_of, vector_name, vector_of

__all__ = ["Done", "delete_points", "insert_points", "update_points"]

Done = Callable[[str, str, int], None]
"""Told what was done to which table, and to how many points."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_POINTS, _BYTES = 256, 2 << 20
"""Of one request at most; JSON may be four times as long, and a server takes 32 MB."""


def insert_points(session: Session, table: Table, batches: Iterable[Batch], done: Done) -> int:
    """Insert points; returns how many. Raises `Conflict` naming one that is there."""
    name, count = table.definition["name"], 0
    is_named = any(vector_name(one["name"]) for one in table.definition["columns"])
    for batch in _portions(batches):
        ids = ids_of(batch.keys)
        there = _existing(session, name, ids)
        if there:
            first = next(one for one in ids if one in there)
            raise Conflict(
                f"{table.name}: a point cannot be inserted: {first} is there already",
                hint="--conflict update or --exact may resolve it.",
            )
        columns = [cells.to_list() for cells in batch.columns]
        points = [
            models.PointStruct(id=own, **_point(table.columns, [cells[at] for cells in columns], is_named=is_named))
            for at, own in enumerate(ids)
        ]
        session.ask(f"points cannot be inserted into {name}", "upsert", collection_name=name, points=points, wait=True)
        done("inserted", table.name, len(points))
        count += len(points)
    return count


def update_points(session: Session, table: Table, columns: Sequence[str], batches: Iterable[Batch], done: Done) -> int:
    """Set these columns of points that are there, NULL being no such key or vector; returns how many there were."""
    name, count = table.definition["name"], 0
    fields = [table.columns[table.column(one)] for one in columns]
    for batch in _portions(batches):
        ids = ids_of(batch.keys)
        there = _existing(session, name, ids)
        cells = [own.to_list() for own in batch.columns]
        rows = [(own, [column[at] for column in cells]) for at, own in enumerate(ids) if own in there]
        operations = _operations(session, name, fields, rows)
        if operations:
            failing = f"points of {name} cannot be changed"
            session.ask(failing, "batch_update_points", collection_name=name, update_operations=operations, wait=True)
            done("updated", table.name, len(rows))
        count += len(rows)
    return count


def delete_points(session: Session, table: Table, groups: Iterable[Cells], done: Done) -> int:
    """Delete the points with these keys; returns how many there were."""
    name, count = table.definition["name"], 0
    for keys in groups:
        ids = ids_of(keys)
        for start in range(0, len(ids), _POINTS):
            some = _existing(session, name, ids[start : start + _POINTS])
            if some:
                selector = models.PointIdsList(points=sorted(some, key=str))
                failing = f"points of {name} cannot be deleted"
                session.ask(failing, "delete", collection_name=name, points_selector=selector, wait=True)
                done("deleted", table.name, len(some))
                count += len(some)
    return count


def _portions(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same rows, at most so many and so many bytes at once, though at least one; small batches go together."""
    waiting: list[Batch] = []
    count = size = 0
    for batch in batches:
        start = 0
        for at, own in enumerate(sum((cells.lengths for cells in batch.columns), start=batch.keys.lengths).tolist()):
            if count and (size + own > _BYTES or count == _POINTS):
                yield Batch.concat([*waiting, batch.slice(start, at)])
                waiting, start, count, size = [], at, 0, 0
            count, size = count + 1, size + own
        if start < len(batch):
            waiting.append(batch.slice(start, len(batch)))
    if waiting:
        yield Batch.concat(waiting)


def _existing(session: Session, name: str, ids: Sequence[int | str]) -> set[int | str]:
    failing = f"points of {name} cannot be looked up"
    found = session.ask(
        failing, "retrieve", collection_name=name, ids=list(ids), with_payload=False, with_vectors=False
    )
    return {one.id for one in found}


def _point(columns: Sequence[Column], cells: Sequence[bytes | None], *, is_named: bool) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    vectors: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell is None:
            continue
        if column.type == VALUE:
            payload[key_of(column.name)] = value_of(cell)
        else:
            vectors[vector_name(column.name)] = _vector(column, cell)
    return {"payload": payload, "vector": _struct(vectors, is_named=is_named)}


def _struct(vectors: Mapping[str, Any], *, is_named: bool) -> Any:
    """As a collection of one unnamed vector writes it, or as one of several does."""
    return vectors[""] if "" in vectors and not is_named else dict(vectors)


def _vector(column: Column, cell: bytes) -> Any:
    found = vector_of(column, cell)
    if column.type == SPARSE:
        return models.SparseVector(indices=found[0], values=found[1])
    return found


def _operations(
    session: Session, name: str, fields: Sequence[Column], rows: Sequence[tuple[int | str, list[bytes | None]]]
) -> list[Any]:
    """What sets these cells. A key is set to null only by writing the whole payload, and taken away only by a path:
    `set_payload` takes null for "remove", and a path cannot name every key.
    """
    keyed = [(at, key_of(one.name)) for at, one in enumerate(fields) if one.type == VALUE]
    vectors = [(at, one) for at, one in enumerate(fields) if one.type != VALUE]
    whole = [own for own, cells in rows if any(_needs_whole(session, key, cells[at]) for at, key in keyed)]
    payloads = _payloads(session, name, whole) if whole else {}
    operations: list[Any] = []
    gone: dict[tuple[str, ...], list[int | str]] = {}
    bare: dict[tuple[str, ...], list[int | str]] = {}
    moved: list[models.PointVectors] = []
    for own, cells in rows:
        values = {key: value_of(cell) for at, key in keyed if (cell := cells[at]) is not None}
        out = tuple(key for at, key in keyed if cells[at] is None)
        if own in payloads:
            kept = {key: value for key, value in payloads[own].items() if key not in out}
            made = models.SetPayload(payload={**kept, **values}, points=[own])
            operations.append(models.OverwritePayloadOperation(overwrite_payload=made))
        else:
            if values:
                operations.append(
                    models.SetPayloadOperation(set_payload=models.SetPayload(payload=values, points=[own]))
                )
            if out:
                gone.setdefault(out, []).append(own)
        found = {vector_name(one.name): _vector(one, cell) for at, one in vectors if (cell := cells[at]) is not None}
        if found:
            moved.append(models.PointVectors(id=own, vector=_struct(found, is_named=set(found) != {""})))
        lost = tuple(vector_name(one.name) for at, one in vectors if cells[at] is None)
        if lost:
            bare.setdefault(lost, []).append(own)
    for keys, own_ids in gone.items():
        paths = [key if _PLAIN.fullmatch(key) else f'"{key}"' for key in keys]
        deleted = models.DeletePayload(keys=paths, points=[*own_ids])
        operations.append(models.DeletePayloadOperation(delete_payload=deleted))
    if moved:
        operations.append(models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=moved)))
    for names, own_ids in bare.items():
        without = models.DeleteVectors(points=[*own_ids], vector=list(names))
        operations.append(models.DeleteVectorsOperation(delete_vectors=without))
    return operations


def _needs_whole(session: Session, key: str, cell: bytes | None) -> bool:
    if cell is None:  # nobody else writes to a folder of local mode, whose older versions read no quoted paths
        return session.is_local or not key or '"' in key or "\\" in key
    return cell == b"null"


def _payloads(session: Session, name: str, ids: Sequence[int | str]) -> dict[int | str, dict[str, Any]]:
    failing = f"points of {name} cannot be looked up"
    found = session.ask(failing, "retrieve", collection_name=name, ids=list(ids), with_payload=True, with_vectors=False)
    return {one.id: json.loads(json.dumps(one.payload or {})) for one in found}
