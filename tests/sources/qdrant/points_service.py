"""The gRPC side of the server: points alone, turned into REST requests by the client library's own conversions.

with Server() as server, PointsService(server) as service:
    QdrantSource(f"{server.url}?grpc={service.port}")
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import grpc
from qdrant_client import grpc as protocol
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http.api.points_api import jsonable_encoder

from tests.sources.qdrant.server import Server

CODES = {401: grpc.StatusCode.UNAUTHENTICATED, 404: grpc.StatusCode.NOT_FOUND}


class PointsService:
    """Started by `with`; answers on `port`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        takes: dict[str, tuple[Any, Any]] = {
            "Scroll": (protocol.ScrollPoints, self._scroll),
            "Get": (protocol.GetPoints, self._get),
            "Upsert": (protocol.UpsertPoints, self._upsert),
            "Delete": (protocol.DeletePoints, self._delete),
            "UpdateBatch": (protocol.UpdateBatchPoints, self._batch),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                handle, request_deserializer=kind.FromString, response_serializer=lambda one: one.SerializeToString()
            )
            for name, (kind, handle) in takes.items()
        }
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("qdrant.Points", handlers),))
        self.port = self._grpc.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> PointsService:
        self._grpc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(None).wait()

    def _rest(self, context: Any, method: str, request: Any, path: str, body: Any, *, writes: bool = False) -> Any:
        key = dict(context.invocation_metadata()).get("api-key", "")
        target = f"/collections/{quote(request.collection_name, safe='')}/points{path}"
        if writes:
            assert request.wait
            target += "?wait=true"
        given = json.dumps({name: one for name, one in body.items() if one is not None})
        with self._server._lock:
            status, answer = self._server.answer(method, target, given.encode(), key)
        if status != 200:
            context.abort(CODES.get(status, grpc.StatusCode.INVALID_ARGUMENT), answer["status"]["error"])
        return answer["result"]

    def _scroll(self, request: Any, context: Any) -> Any:
        body = {
            "limit": request.limit,
            "offset": GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
            "filter": _plain(GrpcToRest.convert_filter(request.filter)) if request.HasField("filter") else None,
            **_selected(request),
        }
        found = self._rest(context, "POST", request, "/scroll", body)
        after = found["next_page_offset"]
        return protocol.ScrollResponse(
            result=[_point(one) for one in found["points"]],
            next_page_offset=None if after is None else RestToGrpc.convert_extended_point_id(after),
        )

    def _get(self, request: Any, context: Any) -> Any:
        body = {"ids": [GrpcToRest.convert_point_id(one) for one in request.ids], **_selected(request)}
        found = self._rest(context, "POST", request, "", body)
        return protocol.GetResponse(result=[_point(one) for one in found])

    def _upsert(self, request: Any, context: Any) -> Any:
        points = [_plain(GrpcToRest.convert_point_struct(one)) for one in request.points]
        self._rest(context, "PUT", request, "", {"points": points}, writes=True)
        return protocol.PointsOperationResponse(result=_DONE)

    def _delete(self, request: Any, context: Any) -> Any:
        body = _plain(GrpcToRest.convert_points_selector(request.points))
        self._rest(context, "POST", request, "/delete", body, writes=True)
        return protocol.PointsOperationResponse(result=_DONE)

    def _batch(self, request: Any, context: Any) -> Any:
        operations = [_plain(GrpcToRest.convert_points_update_operation(one)) for one in request.operations]
        self._rest(context, "POST", request, "/batch", {"operations": operations}, writes=True)
        return protocol.UpdateBatchResponse(result=[_DONE])


_DONE = protocol.UpdateResult(operation_id=1, status=protocol.UpdateStatus.Completed)


def _selected(request: Any) -> dict[str, Any]:
    vectors = (
        GrpcToRest.convert_with_vectors_selector(request.with_vectors) if request.HasField("with_vectors") else None
    )
    return {"with_payload": request.with_payload.enable, "with_vector": vectors}


def _point(record: dict[str, Any]) -> Any:
    return RestToGrpc.convert_retrieved_point(models.Record.model_validate({"payload": {}, **record}))


def _plain(model: Any) -> Any:
    return json.loads(jsonable_encoder(model))
