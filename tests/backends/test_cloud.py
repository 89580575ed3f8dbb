"""A bucket of an S3 server on loopback."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import obstore
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from obstore.exceptions import AlreadyExistsError
from obstore.store import from_url
from werkzeug.serving import WSGIRequestHandler, make_server

from snapstore.backends import Backend
from snapstore.backends.cloud import CloudBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.errors import Exists, Invalid, NotFound, Unavailable, Unsupported
from snapstore.operations.copy import copy
from snapstore.operations.gc import gc
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.backends.contract import BackendContract
from tests.cli.command import Snap
from tests.operations.sample import CHEAP, PASSPHRASE, read, rows, take

SECRET = "a-secret-access-key"
_names = count()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server's URL; it answers one request after the other, as its conditions are not atomic otherwise."""
    running = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), request_handler=_Quiet)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{running.server_port}"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")):
        pass
    yield url
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library looks."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }.items():
        monkeypatch.setenv(name, value)


bucket = partial(CloudBackend, allow_http=True)


@pytest.fixture
def place(environment: None) -> str:
    """A prefix of one's own."""
    return f"s3://bucket/tests/{next(_names)}"


class TestS3(BackendContract):
    @pytest.fixture
    def backend(self, place: str) -> Backend:
        return bucket(place)


def test_an_encrypted_repository_lives_in_a_bucket(place: str) -> None:
    repository = Repository.init(bucket(place, create=True), passphrase=PASSPHRASE, cost=CHEAP)
    assert {entry.name.partition("/")[0] for entry in repository.backend.list()} == {"config", "keys"}
    held = rows(range(50), elements=140)
    take(repository, held)
    again = Repository.open(bucket(place + "/"), PASSPHRASE)
    [snapshot] = again.snapshots()
    assert read(again, snapshot)["public.memories"] == held
    assert verify(again, read_data=True).damaged == ()
    again.remove(snapshot.id)
    gc(again)
    assert not list(again.backend.list("packs/"))
    with pytest.raises(Exists):
        Repository.init(bucket(place))
    with pytest.raises(NotFound, match="not a snapstore repository"):
        Repository.open(bucket(place + "/nowhere"))


@pytest.mark.parametrize("encrypted", [False, True])
def test_snapshots_are_copied_into_a_bucket_and_back(place: str, encrypted: bool) -> None:
    here, back = (Repository.init(MemoryBackend()) for _ in range(2))
    held = rows(range(300), elements=140)
    first = take(here, held)
    second = take(here, held | rows([3], seed=1, elements=140), at=1)
    secret = PASSPHRASE if encrypted else None
    there = Repository.init(bucket(place, create=True), passphrase=secret, cost=CHEAP)
    assert [one.is_new for one in copy(here, there)] == [True, True]
    recording = RecordingBackend(bucket(place))
    again = Repository.open(recording, secret)
    recording.reset()
    assert [one.is_new for one in copy(here, again)] == [False, False]
    assert [call.verb for call in recording.calls] == ["list", "get", "get"]
    copy(again, back)
    assert [one.sources for one in back.snapshots()] == [first.sources, second.sources]
    assert verify(again, read_data=True).damaged == ()


def test_a_reply_that_was_lost_is_made_good(place: str) -> None:
    """The write had its effect and was tried again: what is there is ours, whoever asks."""
    backend = bucket(place)
    first = backend.put("snapshots/a", [b"nonce 1"])
    assert backend.put("snapshots/a", [b"nonce 1"]) == first
    second = backend.replace("snapshots/a", b"nonce 2", tag=first)
    assert backend.replace("snapshots/a", b"nonce 2", tag=first) == second


def test_a_write_that_is_refused_beside_one_under_way_may_be_tried_again(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try is not through yet: the store answers 409, and has nothing under the name."""
    backend = bucket(place)

    def refuse(*_: object, **__: object) -> None:
        raise AlreadyExistsError("409 Conflict")

    with monkeypatch.context() as patched:
        patched.setattr(obstore, "put", refuse)
        with pytest.raises(Unavailable, match="snapshots/a"):
            backend.put("snapshots/a", [b"nonce"])
    backend.put("snapshots/a", [b"nonce"])


def test_a_large_pack_goes_up_in_parts(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapstore.backends.cloud._WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr("snapstore.backends.cloud._PART_BYTES", 5 << 20)
    backend = bucket(place)
    data = bytes(range(256)) * (6 << 12)
    backend.put("packs/ab/large", [data[:100], data[100:]], unique=True)
    assert backend.get("packs/ab/large").data == data
    assert backend.get_range("packs/ab/large", 5 << 20, 3) == data[5 << 20 : (5 << 20) + 3]


def test_a_store_that_keeps_no_conditions_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda store, name, data, **_: put(store, name, data, use_multipart=False))
    with pytest.raises(Unsupported, match="does not keep conditions"):
        bucket(place, create=True)
    assert not list(bucket(place).list()), "the probe is gone"


def test_foreign_objects_are_not_seen(place: str) -> None:
    backend = bucket(place)
    backend.put("config", [b"x"])
    obstore.put(from_url(place), "UPPER/Case", b"mine")
    assert [entry.name for entry in backend.list()] == ["config"]


@pytest.mark.parametrize("url", ["s3://", "http://bucket/x", f"s3://me:{SECRET}@bucket", f"s3://bucket?key={SECRET}"])
def test_a_url_that_names_no_bucket_or_a_secret_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        CloudBackend(url)
    assert SECRET not in caught.value.message + caught.value.hint


def test_a_bucket_or_server_that_is_not_there_is_unavailable(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="the bucket of s3://nowhere/x is not there"):
        bucket("s3://nowhere/x", create=True)
    with pytest.raises(Unavailable):
        list(bucket("s3://nowhere/x").list())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("snapstore.backends.cloud._RETRIES", {"max_retries": 0})
    with pytest.raises(Unavailable, match="s3://bucket/x") as caught:
        bucket("s3://bucket/x").get("config")
    assert SECRET not in caught.value.message


def test_the_command_line_works_on_a_bucket(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snap = Snap(tmp_path)
    assert snap.error("-r", place, "list", code=10)["message"] == f"there is no repository in {place}"
    assert snap.json("init", place)["repository"] == place
    assert snap.json("list", env={"SNAP_REPO": place}) == []
    assert snap.json("-r", place, "verify")["damaged"] == []
    assert snap.error("init", place, code=1)["code"] == "exists"
    assert snap.error("-r", "ftp://x/y", "list", code=1)["code"] == "unsupported"
    told = snap("-r", "s3://nowhere/x", "init", "-vv", code=1)
    assert SECRET not in told.stdout + told.stderr
    assert not list(tmp_path.iterdir())
