"""Points over gRPC give the very snapshot that REST gives, and come back by it."""

from __future__ import annotations

import pytest

from snapstore.errors import SnapstoreError, Unavailable
from tests.sources.qdrant.agent import Agent, roots
from tests.sources.qdrant.points_service import PointsService
from tests.sources.qdrant.server import Server
from tests.sources.qdrant.test_collections import PAYLOAD, everything


def test_grpc_gives_and_takes_what_rest_does(server: Server, remote: Agent) -> None:
    with remote.client() as client:
        everything(client)
    name = "all kinds & blanks"
    del server.collections[name].points[0]["payload"]["large"]  # no integer of gRPC is so large
    snapshot, before = remote.take(), remote.dump()
    with PointsService(server) as service:
        agent = remote.at(f"{server.url}?grpc={service.port}")
        server.calls.clear()
        assert roots(agent.take()) == roots(snapshot)
        points = server.collections[name].points
        points[0]["payload"] = {"int": 1.0, "new": 2}
        points[0]["vectors"].clear()
        del points[10]
        points[11]["vectors"]["dot"] = [1.0, 2.0, 3.0]
        points[9]["vectors"] = {} if 9 in points else points.setdefault(9, {"vectors": {}, "payload": {}})["vectors"]
        agent.restore(snapshot)
        assert remote.dump() == before
        server.collections.clear()
        agent.restore(snapshot)
        assert remote.dump() == before
        server.collections[name].points[0]["payload"]["large"] = PAYLOAD["large"]
        with pytest.raises(Exception, match=r"(?i)large|range|int|value"):
            agent.take()


def test_a_wrong_key_and_a_port_where_nobody_is_are_told() -> None:
    with Server(key="s3cret") as server, PointsService(server) as service:
        server.create("notes", {}, {"vectors": {}})
        Agent(f"{server.url}?grpc={service.port}", key="s3cret").take()
        gone = Agent(f"{server.url}?grpc=1", key="s3cret")
        with pytest.raises(Unavailable, match="UNAVAILABLE") as told:
            gone.take()
        assert "s3cret" not in told.value.message
        assert isinstance(told.value, SnapstoreError)
