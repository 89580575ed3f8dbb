"""Collections as tables: what each is made of, and how one is made again.

    names = list_collections(session)
    shape = read_shape(session, "memories")       # vectors, configuration, indexes, aliases
    make_collection(session, shape.definition)

A server's configuration is kept as the JSON it answers, so that settings this version has never heard of are held too.
It reads no points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from snapstore.errors import Conflict, Unavailable, Unsupported
from snapstore.rows import Column, Table
from snapstore.sources.qdrant.connection import Session
from snapstore.sources.qdrant.points import DENSE, SPARSE, multiple

__all__ = [
    "Shape",
    "drop_collection",
    "list_aliases",
    "list_collections",
    "make_aliases",
    "make_collection",
    "make_indexes",
    "normalised_columns",
    "page_limit",
    "read_shape",
]

SCHEMA = "qdrant"
_COUNTS = ("points", "points_count")
_PARTS = ("hnsw_config", "wal_config", "quantization_config", "strict_mode_config", "metadata")
_FAN_OUT = ("read_fan_out_factor", "read_fan_out_delay_ms")


@dataclass(frozen=True, slots=True)
class Shape:
    """A collection without its points: vector columns, and what recreates it. `status` and `points` are of now."""

    columns: tuple[Column, ...]
    definition: Mapping[str, Any]
    status: str
    points: int


def list_collections(session: Session) -> list[str]:
    """The names of all collections, sorted."""
    failing = "its collections cannot be listed"
    if session.is_local:
        return sorted(one.name for one in session.ask(failing, "get_collections").collections)
    return sorted(str(one["name"]) for one in session.request(failing, "GET", "/collections")["collections"])


BROKEN = "the server says that the collection"
"""How the one `Unavailable` begins that is about a collection, and not about the server."""


def list_aliases(session: Session) -> dict[str, str]:
    """The collection of each alias."""
    failing = "its aliases cannot be listed"
    if session.is_local:
        found = session.ask(failing, "get_aliases").aliases
        return {one.alias_name: one.collection_name for one in found}
    answered = session.request(failing, "GET", "/aliases")["aliases"]
    return {str(one["alias_name"]): str(one["collection_name"]) for one in answered}


def read_shape(session: Session, name: str, aliases: Mapping[str, str]) -> Shape:
    """What a collection is made of. Raises `NotFound`, `Unsupported` for one that cannot be held, `Unavailable` for one
    that the server itself calls broken.
    """
    failing = f"the collection {name} cannot be read"
    if session.is_local:
        found = session.ask(failing, "get_collection", collection_name=name).model_dump(mode="json", exclude_none=True)
        own = {"vectors", "sparse_vectors"}  # the rest is what local mode says of everything
        config = {"params": {key: one for key, one in found["config"]["params"].items() if key in own}}
        if found["config"].get("metadata") is not None:
            config["metadata"] = found["config"]["metadata"]
    else:
        found = session.request(failing, "GET", "/collections/{name}", name=name)
        config = _without_nulls(found["config"])
    if found["status"] == "red":
        raise Unavailable(
            f"{BROKEN} {name} is red: {found.get('optimizer_status')}",
            hint="Look into the server's log; what it still answers may be incomplete.",
        )
    params = config["params"]
    if params.get("sharding_method") == "custom":
        raise Unsupported("its shards have keys of their own, and which point belongs to which is not held")
    indexes = {
        field: one.get("params") or one["data_type"] for field, one in _without_nulls(found["payload_schema"]).items()
    }
    columns, listed = _vectors(params)
    definition: dict[str, Any] = {
        "name": name,
        "open": "qdrant.json",
        "columns": listed,
        "config": config,
        "indexes": indexes,
        "aliases": sorted(alias for alias, target in aliases.items() if target == name),
        "local": session.is_local,
    }
    definition["constraints"] = _traits(definition)
    return Shape(columns, definition, str(found["status"]), int(found.get("points_count") or 0))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return value


def _vectors(params: Mapping[str, Any]) -> tuple[tuple[Column, ...], list[dict[str, Any]]]:
    """The columns of vectors, and how each was declared."""
    dense = params.get("vectors") or {}
    if "size" in dense and not isinstance(dense["size"], Mapping):
        dense = {"": dense}
    columns, listed = [], []
    for name, own in sorted(dense.items()):
        column = f"vector:{name}" if name else "vector"
        kind = multiple(int(own["size"])) if own.get("multivector_config") else DENSE
        many = "[n]" if own.get("multivector_config") else ""
        declared = f"{own.get('datatype', 'float32')}{many}[{own['size']}] {own['distance']}"
        columns.append(Column(column, kind, stride=4))
        listed.append({"name": column, "type": declared})
    for name, own in sorted((params.get("sparse_vectors") or {}).items()):
        modifier = (own or {}).get("modifier", "none")
        columns.append(Column(f"vector:{name}", SPARSE, stride=4))
        listed.append({"name": f"vector:{name}", "type": "sparse" + ("" if modifier == "none" else f" {modifier}")})
    return tuple(columns), listed


def _traits(definition: Mapping[str, Any]) -> list[dict[str, str]]:
    """What people are told when it differs (`operations.drift`)."""
    found = [
        {"kind": "payload index", "name": field, "definition": _words(one)}
        for field, one in sorted(definition["indexes"].items())
    ]
    found += [{"kind": "alias", "name": name, "definition": "yes"} for name in definition["aliases"]]
    config = definition["config"]
    found += [
        {"kind": "setting", "name": name, "definition": _words(config[name])}
        for name in sorted(config)
        if name != "params"
    ]
    return found


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(one)}" for key, one in sorted(value.items()))
    return str(value)


def normalised_columns(table: Table) -> set[str]:
    """The names of the columns whose vectors the engine normalises."""
    return {str(one["name"]) for one in table.definition["columns"] if str(one["type"]).endswith(" Cosine")}


def page_limit(definition: Mapping[str, Any], most: int) -> int:
    """How many points may be asked for at once: strict mode may allow fewer than we would."""
    strict = definition["config"].get("strict_mode_config") or {}
    limit = strict.get("max_query_limit") if strict.get("enabled") else None
    return max(1, min(most, int(limit))) if limit else most


def make_collection(session: Session, table: Table) -> list[str]:
    """Make it as its definition says, without indexes. Returns what was not set, for people.

    Raises `Conflict` where there is an alias of its name.
    """
    definition = table.definition
    name, config = definition["name"], definition["config"]
    params = dict(config["params"])
    failing = f"the collection {name} cannot be made"
    if name in list_aliases(session):
        raise Conflict(f"{session.shown}: {failing}: there is an alias of that name", hint="Drop the alias first.")
    if session.is_local:
        arguments = {
            "vectors_config": _models(params.get("vectors"), models.VectorParams),
            "sparse_vectors_config": _models(params.get("sparse_vectors") or None, models.SparseVectorParams),
            "metadata": config.get("metadata"),
        }
        session.ask(failing, "create_collection", collection_name=name, **arguments)
        lost = [part for part in config if part not in ("params", "metadata")]
        return [f"{table.name}: local mode has no {', '.join(lost)}"] if lost and not definition["local"] else []
    fan_out = {key: params.pop(key) for key in _FAN_OUT if key in params}
    body = {**params, **{key: config[key] for key in _PARTS if key in config}}
    if "optimizer_config" in config:
        body["optimizers_config"] = config["optimizer_config"]
    session.request(failing, "PUT", "/collections/{name}", body, name=name)
    if fan_out:
        session.request(failing, "PATCH", "/collections/{name}", {"params": fan_out}, name=name)
    lost = sorted(set(config) - {"params", "optimizer_config", *_PARTS})
    return [f"{table.name}: settings that are not made again: {', '.join(lost)}"] if lost else []


def _models(found: Any, kind: Any) -> Any:
    if found is None:
        return None
    if "size" in found and not isinstance(found["size"], Mapping):
        return kind(**found)
    return {name: kind(**(one or {})) for name, one in found.items()}


def drop_collection(session: Session, name: str) -> None:
    """Drop it with all its points."""
    failing = f"the collection {name} cannot be dropped"
    if session.is_local:
        session.ask(failing, "delete_collection", collection_name=name)
    else:
        session.request(failing, "DELETE", "/collections/{name}", name=name)


def make_indexes(session: Session, table: Table) -> list[str]:
    """The payload indexes; returns what was not made, for people."""
    name, indexes = table.definition["name"], table.definition["indexes"]
    if session.is_local and indexes:
        return [f"{table.name}: local mode has no payload indexes: {', '.join(sorted(indexes))}"]
    for field, schema in sorted(indexes.items()):
        failing = f"the index of {field} in {name} cannot be made"
        body = {"field_name": field, "field_schema": schema}
        session.request(failing, "PUT", "/collections/{name}/index?wait=true", body, name=name)
    return []


def make_aliases(session: Session, table: Table) -> list[str]:
    """Aliases that nobody else has; returns those that were left where they are, for people."""
    name, there, left = table.definition["name"], list_aliases(session), []
    for alias in table.definition["aliases"]:
        failing = f"the alias {alias} cannot be made"
        if alias in there:
            if there[alias] != name:
                left.append(f"{table.name}: the alias {alias} is of {there[alias]} by now, and stays there")
        elif session.is_local:
            make = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=alias))
            session.ask(failing, "update_collection_aliases", change_aliases_operations=[make])
        else:
            made = {"create_alias": {"collection_name": name, "alias_name": alias}}
            session.request(failing, "POST", "/collections/aliases", {"actions": [made]})
    return left
