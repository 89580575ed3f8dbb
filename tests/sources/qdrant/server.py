"""A Qdrant server on loopback, as far as its published OpenAPI document says what it takes and gives, and no further.

    with Server() as server:
        QdrantSource(server.url).view(Selection())
        server.calls["POST /collections/{name}/points/scroll"]

Whatever the document does not have (a route, a parameter, a field, a type) is answered with 400 and kept in `refused`.
Cosine vectors are normalised in float32 unless they are so already, as the engine does; a null that is set removes its
key. There is no search.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
from qdrant_client import models
from qdrant_client.local.payload_filters import check_filter

Id = int | str

HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0, "on_disk": False}
OPTIMIZER = {
    "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0, "max_segment_size": None,
    "memmap_threshold": None, "indexing_threshold": 10000, "flush_interval_sec": 5, "max_optimization_threads": None,
}  # fmt: skip
WAL = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
PARAMS = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}


class RefusedError(Exception):
    """A request that the document does not allow, or that fails; with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def fields(body: Any, required: str = "", optional: str = "") -> dict[str, Any]:
    """A JSON object with these fields and no others."""
    must, may = set(required.split()), set(optional.split())
    if not isinstance(body, dict) or not must <= body.keys() or not body.keys() <= must | may:
        raise RefusedError(400, f"Format error in JSON body: {body} does not have {must} and of {may}")
    return body


def id_of(value: Any) -> Id:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    if isinstance(value, str):
        return str(uuid.UUID(value))
    raise RefusedError(400, f"{value!r} is not a valid point ID, valid values are either an unsigned integer or a UUID")


def place_of(own: Id) -> tuple[int, int]:
    return (0, own) if isinstance(own, int) else (1, uuid.UUID(own).int)


def single(number: float) -> float:
    """A float32 as the server writes it: with as few digits as tell it from others."""
    return float(str(np.float32(number)))


@dataclass
class Collection:
    """One collection: its configuration as the server answers it, and its points."""

    config: dict[str, Any]
    points: dict[Id, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, Any] = field(default_factory=dict)

    @property
    def dense(self) -> dict[str, Any]:
        found = self.config["params"]["vectors"]
        return {"": found} if "size" in found else found

    @property
    def sparse(self) -> dict[str, Any]:
        return self.config["params"].get("sparse_vectors") or {}

    def vectors(self, given: Any) -> dict[str, Any]:
        """The vectors of a point as they are stored."""
        named = given if isinstance(given, dict) else {"": given}
        return {name: self.vector(name, own) for name, own in named.items()}

    def vector(self, name: str, given: Any) -> Any:
        if name in self.sparse:
            own = fields(given, "indices values")
            if len(own["indices"]) != len(own["values"]) or len(set(own["indices"])) != len(own["indices"]):
                raise RefusedError(422, "sparse vector indices must be unique, and as many as values")
            pairs = sorted(zip(own["indices"], own["values"], strict=True))
            return {"indices": [one for one, _ in pairs], "values": [single(one) for _, one in pairs]}
        if name not in self.dense:
            raise RefusedError(400, f"Wrong input: Not existing vector name error: {name}")
        params = self.dense[name]
        rows = given if params.get("multivector_config") else [given]
        if not rows or any(len(row) != params["size"] or not all(type(x) in (int, float) for x in row) for row in rows):
            raise RefusedError(400, f"Wrong input: Vector dimension error: expected dim: {params['size']}")
        made = [[single(x) for x in self._normalised(np.asarray(row, np.float32), params["distance"])] for row in rows]
        return made if params.get("multivector_config") else made[0]

    @staticmethod
    def _normalised(vector: np.ndarray[Any, Any], distance: str) -> np.ndarray[Any, Any]:
        squares = np.float32(np.dot(vector, vector))
        if distance != "Cosine" or squares < np.finfo(np.float32).eps or abs(squares - 1) <= 1e-6:
            return vector
        return np.asarray(vector / np.sqrt(squares), np.float32)

    def record(self, own: Id, with_payload: bool, with_vector: Any) -> dict[str, Any]:
        point = self.points[own]
        found: dict[str, Any] = {"id": own}
        if with_payload:
            found["payload"] = point["payload"]
        if with_vector:
            names = point["vectors"] if with_vector is True else with_vector
            held = {name: one for name, one in point["vectors"].items() if name in names}
            found["vector"] = held[""] if set(held) == {""} else held
        return found


class Server:
    """Started by `with`; `calls` counts requests by route."""

    def __init__(self, *, key: str = "", certificate: Path | None = None) -> None:
        self.key = key
        self._scheme = "qdrant" if certificate is None else "qdrant+https"
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.refused: list[str] = []
        self.statuses: list[str] = []
        self.before: Callable[[str, str], None] = lambda *_: None
        self._lock = threading.RLock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                with server._lock:
                    status, answer = server.answer(self.command, self.path, body, self.headers.get("api-key", ""))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815  # as the base class has it

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, body: bytes, key: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(target)
        try:
            if key != self.key:
                raise RefusedError(401, "Invalid API key or JWT")
            query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            given = json.loads(body) if body else None
            for (wanted, pattern), (allowed, handle) in ROUTES.items():
                found = re.fullmatch(pattern.replace("{name}", "([^/]+)"), parts.path)
                if found and wanted == method:
                    self.calls[f"{method} {pattern}"] += 1
                    self.before(f"{method} {pattern}", unquote((found.groups() or ("",))[0]))
                    if not query.keys() <= set(allowed.split()):
                        raise RefusedError(400, f"unknown parameters: {query}")
                    return 200, self._told(handle(self, *map(unquote, found.groups()), query=query, body=given))
            raise RefusedError(404, f"no such route: {method} {parts.path}")
        except RefusedError as error:
            if error.status == 400 or "route" in str(error):
                self.refused.append(str(error))
            return error.status, {"status": {"error": str(error)}, "time": 0.0}

    @staticmethod
    def _told(result: Any) -> dict[str, Any]:
        if isinstance(result, dict) and "version" in result:
            return result
        return {"result": result, "status": "ok", "time": 0.0}

    def collection(self, name: str) -> Collection:
        name = self.aliases.get(name, name)
        if name not in self.collections:
            raise RefusedError(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.collections[name]

    # What each route does.

    def root(self, query: Mapping[str, str], body: Any) -> Any:
        return {"title": "qdrant - vector search engine", "version": "1.19.0", "commit": "0"}

    def list(self, query: Mapping[str, str], body: Any) -> Any:
        return {"collections": [{"name": name} for name in self.collections]}

    def all_aliases(self, query: Mapping[str, str], body: Any) -> Any:
        return {"aliases": [{"alias_name": a, "collection_name": c} for a, c in self.aliases.items()]}

    def change_aliases(self, query: Mapping[str, str], body: Any) -> Any:
        for action in fields(body, "actions")["actions"]:
            made = fields(fields(action, "create_alias")["create_alias"], "collection_name alias_name")
            self.collection(made["collection_name"])
            self.aliases[made["alias_name"]] = made["collection_name"]
        return True

    def info(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        own = self.collection(name)
        return {
            "status": self.statuses.pop(0) if self.statuses else "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 0,
            "points_count": len(own.points),
            "segments_count": 2,
            "config": own.config,
            "payload_schema": {
                name: {"data_type": one if isinstance(one, str) else one["type"], "points": len(own.points)}
                | ({} if isinstance(one, str) else {"params": one})
                for name, one in own.indexes.items()
            },
        }

    def create(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        if name in self.collections or name in self.aliases:
            raise RefusedError(409, f"Wrong input: Collection `{name}` already exists!")
        params = "shard_number replication_factor write_consistency_factor on_disk_payload sharding_method"
        others = "hnsw_config wal_config optimizers_config quantization_config strict_mode_config metadata"
        own = fields(body, "", f"vectors sparse_vectors {params} {others}")
        known = "hnsw_config quantization_config on_disk datatype multivector_config"
        dense = own.get("vectors") or {}
        for one in [dense] if "size" in dense else dense.values():
            fields(one, "size distance", known)
        for one in (own.get("sparse_vectors") or {}).values():
            fields(one, "", "index modifier")
        config: dict[str, Any] = {
            "params": {**PARAMS, "vectors": dense, **{k: own[k] for k in params.split() if k in own}},
            "hnsw_config": {**HNSW, **fields(own.get("hnsw_config") or {}, "", " ".join([*HNSW, "payload_m"]))},
            "optimizer_config": {**OPTIMIZER, **fields(own.get("optimizers_config") or {}, "", " ".join(OPTIMIZER))},
            "wal_config": {**WAL, **fields(own.get("wal_config") or {}, "", " ".join(WAL))},
            "quantization_config": own.get("quantization_config"),
        }
        config |= {key: own[key] for key in ("strict_mode_config", "metadata") if own.get(key) is not None}
        if own.get("sparse_vectors"):
            config["params"] |= {"sparse_vectors": own["sparse_vectors"]}
        self.collections[name] = Collection(config)
        return True

    def patch(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        found = fields(fields(body, "params")["params"], "", "read_fan_out_factor on_disk_payload")
        self.collection(name).config["params"].update(found)
        return True

    def drop(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        self.aliases = {alias: own for alias, own in self.aliases.items() if own != name}
        return self.collections.pop(name, None) is not None

    def index(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        made = fields(body, "field_name", "field_schema")
        self.collection(name).indexes[made["field_name"]] = made["field_schema"]
        return self._updated(query)

    def scroll(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        asked = fields(body, "", "offset limit filter with_payload with_vector")
        own, limit = self.collection(name), asked.get("limit", 10)
        if limit < 1:
            raise RefusedError(422, "limit must be 1 or larger")
        strict = own.config.get("strict_mode_config") or {}
        if strict.get("enabled") and limit > strict.get("max_query_limit", limit):
            raise RefusedError(400, "Forbidden: Limit exceeded")
        ids = sorted(own.points, key=place_of)
        if asked.get("filter"):
            condition = models.Filter.model_validate(asked["filter"])
            ids = [
                one
                for one in ids
                if check_filter(
                    condition, own.points[one]["payload"], one, dict.fromkeys(own.points[one]["vectors"], True)
                )
            ]
        if asked.get("offset") is not None:
            ids = [one for one in ids if place_of(one) >= place_of(id_of(asked["offset"]))]
        found = [own.record(one, asked.get("with_payload", True), asked.get("with_vector")) for one in ids[:limit]]
        return {"points": found, "next_page_offset": ids[limit] if len(ids) > limit else None}

    def retrieve(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        asked = fields(body, "ids", "with_payload with_vector")
        own = self.collection(name)
        there = [one for one in map(id_of, asked["ids"]) if one in own.points]
        return [own.record(one, asked.get("with_payload", True), asked.get("with_vector")) for one in there]

    def upsert(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        own = self.collection(name)
        points = [fields(one, "id vector", "payload") for one in fields(body, "points")["points"]]
        for one in [(id_of(point["id"]), own.vectors(point["vector"]), point.get("payload") or {}) for point in points]:
            own.points[one[0]] = {"vectors": one[1], "payload": one[2]}
        return self._updated(query)

    def delete(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        for one in fields(body, "points")["points"]:
            self.collection(name).points.pop(id_of(one), None)
        return self._updated(query)

    def batch(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        own = self.collection(name)
        for operation in fields(body, "operations")["operations"]:
            [(what, given)] = operation.items()
            if what in ("set_payload", "overwrite_payload"):
                made = fields(given, "payload points")
                for one in map(id_of, made["points"]):
                    if what == "overwrite_payload":
                        own.points[one]["payload"] = made["payload"]
                        continue
                    for key, value in made["payload"].items():
                        if value is None:
                            own.points[one]["payload"].pop(key, None)
                        else:
                            own.points[one]["payload"] = {**own.points[one]["payload"], key: value}
            elif what == "delete_payload":
                made = fields(given, "keys points")
                for one in map(id_of, made["points"]):
                    for path in made["keys"]:
                        quoted = re.fullmatch(r'"([^"\\]+)"|([\w-]+)', path)
                        if not quoted:
                            raise RefusedError(400, f"Invalid json path: {path}")
                        own.points[one]["payload"].pop(quoted[1] or quoted[2], None)
            elif what == "update_vectors":
                for point in fields(given, "points")["points"]:
                    made = fields(point, "id vector")
                    own.points[id_of(made["id"])]["vectors"] |= own.vectors(made["vector"])
            elif what == "delete_vectors":
                made = fields(given, "vector points")
                for one in map(id_of, made["points"]):
                    for vector in made["vector"]:
                        own.points[one]["vectors"].pop(vector, None)
            else:
                raise RefusedError(400, f"unknown operation {what}")
        return [self._updated(query)]

    # Two more ways to do the same, which applications use and we do not.

    def set_payload(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        return self.batch(name, query, {"operations": [{"set_payload": body}]})[0]

    def overwrite_payload(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        return self.batch(name, query, {"operations": [{"overwrite_payload": body}]})[0]

    def delete_payload(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        return self.batch(name, query, {"operations": [{"delete_payload": body}]})[0]

    def update_vectors(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        return self.batch(name, query, {"operations": [{"update_vectors": body}]})[0]

    def delete_vectors(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        return self.batch(name, query, {"operations": [{"delete_vectors": body}]})[0]

    def aliases_of(self, name: str, query: Mapping[str, str], body: Any) -> Any:
        return {"aliases": [{"alias_name": a, "collection_name": c} for a, c in self.aliases.items() if c == name]}

    @staticmethod
    def _updated(query: Mapping[str, str]) -> dict[str, Any]:
        if query.get("wait") != "true":
            raise RefusedError(400, "this server is for those who wait")
        return {"operation_id": 1, "status": "completed"}


WRITE = "wait ordering timeout"
READ = "consistency timeout"
ROUTES: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", "/"): ("", Server.root),
    ("GET", "/collections"): ("", Server.list),
    ("GET", "/aliases"): ("", Server.all_aliases),
    ("POST", "/collections/aliases"): ("timeout", Server.change_aliases),
    ("GET", "/collections/{name}"): ("", Server.info),
    ("PUT", "/collections/{name}"): ("timeout", Server.create),
    ("PATCH", "/collections/{name}"): ("timeout", Server.patch),
    ("DELETE", "/collections/{name}"): ("timeout", Server.drop),
    ("PUT", "/collections/{name}/index"): (WRITE, Server.index),
    ("PUT", "/collections/{name}/points"): (WRITE, Server.upsert),
    ("POST", "/collections/{name}/points"): (READ, Server.retrieve),
    ("POST", "/collections/{name}/points/scroll"): (READ, Server.scroll),
    ("POST", "/collections/{name}/points/delete"): (WRITE, Server.delete),
    ("POST", "/collections/{name}/points/batch"): (WRITE, Server.batch),
    ("POST", "/collections/{name}/points/payload"): (WRITE, Server.set_payload),
    ("PUT", "/collections/{name}/points/payload"): (WRITE, Server.overwrite_payload),
    ("POST", "/collections/{name}/points/payload/delete"): (WRITE, Server.delete_payload),
    ("PUT", "/collections/{name}/points/vectors"): (WRITE, Server.update_vectors),
    ("POST", "/collections/{name}/points/vectors/delete"): (WRITE, Server.delete_vectors),
    ("GET", "/collections/{name}/aliases"): ("", Server.aliases_of),
}
