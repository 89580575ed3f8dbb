"""A bucket of Google Cloud Storage, as far as a stand-in for its XML API goes (`google.py`)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from snapstore.backends import Backend
from snapstore.backends.cloud import CloudBackend
from snapstore.errors import Conflict, Unavailable
from tests.backends.contract import BackendContract, repository_lives_in
from tests.backends.google import Google
from tests.cli.command import Snap

_names = count()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Google]]:
    google = Google("bucket")
    running = make_server("127.0.0.1", 0, google, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", google
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def google(server: tuple[str, Google], monkeypatch: pytest.MonkeyPatch) -> Google:
    """The server, where the library looks for it and for credentials."""
    account = {"gcs_base_url": server[0], "disable_oauth": True, "client_email": "", "private_key": "",
               "private_key_id": ""}  # fmt: skip
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    monkeypatch.setattr(server[1], "page", 1000)
    monkeypatch.setattr(server[1], "refuses", False)
    return server[1]


@pytest.fixture
def bucket(google: Google) -> CloudBackend:
    return CloudBackend(f"gs://bucket/tests/{next(_names)}", allow_http=True)


class TestGoogle(BackendContract):
    @pytest.fixture
    def backend(self, bucket: CloudBackend) -> Backend:
        return bucket


def test_a_repository_lives_in_a_bucket(bucket: CloudBackend) -> None:
    made = CloudBackend(bucket.location, create=True, allow_http=True)
    repository_lives_in(made, CloudBackend(bucket.location, allow_http=True))


def test_an_object_is_replaced_by_its_generation_though_its_bytes_are_as_they_were(bucket: CloudBackend) -> None:
    first = bucket.put("snapshots/a", [b"one"])
    bucket.replace("snapshots/a", b"two", tag=first)
    bucket.replace("snapshots/a", b"one", tag=bucket.get("snapshots/a").tag)
    assert bucket.get("snapshots/a").data == b"one"
    with pytest.raises(Conflict):
        bucket.replace("snapshots/a", b"three", tag=first)


def test_a_listing_goes_on_over_pages(bucket: CloudBackend, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "page", 3)
    for number in range(8):
        bucket.put(f"packs/ab/{number:02}", [b"x"])
    assert [entry.name for entry in bucket.list("packs/")] == [f"packs/ab/{number:02}" for number in range(8)]


def test_a_large_pack_goes_up_in_parts(bucket: CloudBackend, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapstore.backends.cloud._WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr("snapstore.backends.cloud._PART_BYTES", 5 << 20)
    data = bytes(range(256)) * (6 << 12)
    google.requests.clear()
    tag = bucket.put("packs/ab/large", [data[:100], data[100:]], unique=True)
    assert [one.split()[0] for one in google.requests] == ["POST", "PUT", "PUT", "POST"]
    assert (bucket.get("packs/ab/large").data == data, bucket.get("packs/ab/large").tag) == (True, tag)


def test_who_may_not_is_told_so(bucket: CloudBackend, google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "refuses", True)
    with pytest.raises(Unavailable) as caught:
        bucket.get("config")
    assert "credentials" in caught.value.hint


def test_the_command_line_works_on_a_bucket(
    bucket: CloudBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    snap = Snap(tmp_path)
    assert snap.json("init", bucket.location)["repository"] == bucket.location
    assert snap.json("-r", bucket.location, "verify")["damaged"] == []
    told = snap.error("-r", "gs://nowhere/x", "init", code=1)
    assert told["message"] == "the bucket of gs://nowhere/x is not there"
