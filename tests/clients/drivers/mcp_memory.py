"""The MCP memory server over stdio; PLACE is its file, the second argument the program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.clients.drivers.words import PEOPLE, memory_text


class _Server:
    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self._number = 0

    def request(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": parameters})
        assert self._child.stdout is not None
        for line in self._child.stdout:
            answer = json.loads(line)
            if answer.get("id") == self._number:
                return answer["result"]
        raise AssertionError("the server is gone")

    def start(self) -> None:
        self.request(
            "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "t", "version": "1"}
        )
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> Any:
        result = self.request("tools/call", name=tool, arguments=arguments)
        assert not result.get("isError"), result
        return result["content"][0]["text"]

    def _send(self, message: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(message) + "\n")
        self._child.stdin.flush()


@contextmanager
def _server(place: str, program: str) -> Iterator[_Server]:
    environment = {**os.environ, "MEMORY_FILE_PATH": place}
    with subprocess.Popen(
        [program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        server = _Server(child)
        server.start()
        yield server
        assert child.stdin is not None
        child.stdin.close()
        child.terminate()


def seed(place: str, program: str) -> None:
    with _server(place, program) as server:
        server.call(
            "create_entities",
            entities=[
                {"name": name, "entityType": "person", "observations": [f"{name} is ü\n“one”"]} for name in PEOPLE
            ]
            + [{"name": f"e{one}", "entityType": "like", "observations": [memory_text(one)]} for one in range(30)],
        )
        server.call(
            "create_relations",
            relations=[{"from": PEOPLE[one % 3], "to": f"e{one}", "relationType": "likes"} for one in range(30)],
        )


def ask(place: str, program: str) -> Any:
    with _server(place, program) as server:
        return {
            "graph": server.call("read_graph"),
            "search": [server.call("search_nodes", query=text) for text in ("tea", "bob", "day 7")],
            "nodes": server.call("open_nodes", names=["ann", "e3"]),
        }


def more(place: str, program: str) -> Any:
    with _server(place, program) as server:
        server.call("create_entities", entities=[{"name": "dave", "entityType": "person", "observations": []}])
        return "dave" in server.call("search_nodes", query="dave")


def wreck(place: str, program: str) -> None:
    with _server(place, program) as server:
        server.call("delete_entities", entityNames=["ann", "e7"])
        server.call("add_observations", observations=[{"entityName": "bob", "contents": ["nothing is left"]}])
