"""A bucket of an S3 server on loopback."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import obstore
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from obstore.exceptions import AlreadyExistsError
from obstore.store import from_url
from werkzeug.serving import WSGIRequestHandler, make_server

from snapstore.backends import Backend
from snapstore.backends.cachefolder import CacheFolder
from snapstore.backends.cloud import CloudBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.sweep import fold
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


class Weather:
    """Stands before the server: counts what is asked, and answers in its place where told to."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.requests: list[str] = []
        self.faults: list[tuple[str, str, bytes]] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        """`faults` are methods, in order, and what is answered to them; with a `+` the server has done it first."""
        method = environ["REQUEST_METHOD"]
        self.requests.append(f"{method} {environ['PATH_INFO']}")
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:  # S3 goes by this one, moto by the one its own client sends
            environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
        if self.faults and self.faults[0][0].rstrip("+") == method:
            kind, status, body = self.faults.pop(0)
            if kind.endswith("+"):
                list(self.server(environ, lambda *_: None))
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        return self.server(environ, start)


WEATHER = Weather(DomainDispatcherApplication(create_backend_app))


@pytest.fixture
def weather(server: str) -> Iterator[Weather]:
    WEATHER.requests.clear()
    yield WEATHER
    WEATHER.faults.clear()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server's URL; it answers one request after the other, as its conditions are not atomic otherwise."""
    running = make_server("127.0.0.1", 0, WEATHER, request_handler=_Quiet)
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


BUSY = ("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>")


def test_a_server_that_fails_now_and_then_is_asked_again(place: str, weather: Weather) -> None:
    backend = bucket(place)
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("PUT", lambda: backend.put("snapshots/a", [b"nonce"])),
        ("GET", lambda: backend.get("snapshots/a")),
        ("GET", lambda: backend.get_range("snapshots/a", 1, 2)),
        ("GET", lambda: list(backend.list())),
        ("HEAD", lambda: backend.delete("snapshots/a")),
    )
    for method, call in calls:
        weather.faults = [(method, *BUSY), (method, "500 Internal Server Error", b"")]
        weather.requests.clear()
        call()
        assert weather.faults == []
        assert len(weather.requests) >= 3
    assert list(backend.list()) == []


def test_a_write_that_was_done_though_the_server_says_no_is_made_good(place: str, weather: Weather) -> None:
    backend = bucket(place)
    weather.faults = [("PUT+", *BUSY)]
    tag = backend.put("snapshots/a", [b"nonce 1"])
    weather.faults = [("PUT+", *BUSY)]
    fresh = backend.replace("snapshots/a", b"nonce 2", tag=tag)
    assert backend.get("snapshots/a").tag == fresh
    with pytest.raises(Exists):
        backend.put("snapshots/a", [b"nonce 3"])


def test_a_server_that_fails_for_long_is_told_as_that(
    place: str, weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapstore.backends.cloud._RETRIES", {"max_retries": 1})
    backend = bucket(place)
    weather.faults = [("GET", *BUSY)] * 2
    with pytest.raises(Unavailable, match="snapshots/a") as caught:
        backend.get("snapshots/a")
    assert "503" in caught.value.message or "SlowDown" in caught.value.message


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied"])
def test_credentials_that_are_refused_are_told_without_secrets(place: str, weather: Weather, code: str) -> None:
    backend = bucket(place)
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><StringToSign>{SECRET}</StringToSign></Error>".encode()
    calls: dict[str, Callable[[], object]] = {
        "GET": lambda: backend.get("config"),
        "PUT": lambda: backend.put("config", [b"x"]),
    }
    for method, call in calls.items():
        weather.faults = [(method, "403 Forbidden", body)]
        with pytest.raises(Unavailable) as caught:
            call()
        assert "credentials" in caught.value.hint
        assert SECRET not in caught.value.message + caught.value.hint


def test_credentials_that_only_read_are_enough_to_verify_and_to_copy(place: str, weather: Weather) -> None:
    held = rows(range(20))
    take(Repository.init(bucket(place)), held)
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    weather.faults = [(method, "403 Forbidden", body) for method in ("PUT", "PUT", "DELETE")]
    source, target = Repository.open(bucket(place)), Repository.init(MemoryBackend())
    verified = verify(source, read_data=True)
    assert (verified.damaged, verified.is_protected) == ((), False)
    [copied] = copy(source, target)
    assert (copied.is_protected, read(target, copied.copy)["public.memories"]) == (False, held)
    assert [fault[0] for fault in weather.faults] == ["DELETE"], "one object each was tried, and nothing deleted"


def ask(server: str, method: str, path: str, body: bytes = b"", *, lock: bool = False) -> bytes:
    """A request of the test's own, by which a bucket is set up; the server asks nobody for credentials."""
    headers = {"Content-Type": "application/xml"}
    if lock:
        headers["x-amz-bucket-object-lock-enabled"] = "true"
    request = urllib.request.Request(f"{server}/{path}", data=body or None, method=method, headers=headers)
    with urllib.request.urlopen(request) as reply:
        return bytes(reply.read())


def listed(versions: bytes) -> list[tuple[str, str, str, bool]]:
    """Of a listing of versions: what each is, its key, its version, and whether it is the latest."""
    found = []
    for element in ElementTree.fromstring(versions):
        fields = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
        if "VersionId" in fields:
            tag = element.tag.rpartition("}")[2]
            found.append((tag, fields["Key"], fields["VersionId"], fields["IsLatest"] == "true"))
    return found


LOCKED = (
    b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
    b"<Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
)


def test_a_bucket_with_versions_and_locks_holds_a_repository_and_all_that_was_deleted(
    environment: None, server: str
) -> None:
    ask(server, "PUT", "locked", lock=True)
    ask(server, "PUT", "locked?object-lock", LOCKED)
    place = "s3://locked/tests"
    repository = Repository.init(bucket(place, create=True))
    held = rows(range(50), elements=140)
    first = take(repository, held)
    take(repository, rows(range(30), seed=1), at=1)
    repository.remove(first.id)
    gc(Repository.open(bucket(place)))
    again = Repository.open(bucket(place))
    assert [one.id for one in again.snapshots()] != [first.id]
    assert verify(again, read_data=True).damaged == ()
    gone = {entry.name for entry in again.backend.list()}
    # A thief deletes all that he sees: markers stand in front of it, and who takes them away has it back.
    for name in sorted(gone):
        again.backend.delete(name)
    assert list(again.backend.list()) == []
    versions = listed(ask(server, "GET", "locked?versions"))
    for tag, key, version, is_latest in versions:
        if tag == "DeleteMarker" and is_latest and key.removeprefix("tests/") in gone:
            ask(server, "DELETE", f"locked/{key}?versionId={version}")
    back = Repository.open(bucket(place))
    assert {entry.name for entry in back.backend.list()} == gone
    assert verify(back, read_data=True).damaged == ()
    (key, version), *_ = [(key, version) for tag, key, version, _ in versions if tag == "Version" and "/packs/" in key]
    with pytest.raises(urllib.error.HTTPError, match="403") as raised:
        ask(server, "DELETE", f"locked/{key}?versionId={version}")
    raised.value.close()


def test_a_take_asks_for_what_the_calls_say(place: str, weather: Weather, tmp_path: Path) -> None:
    """One request for each call, one more for a deletion: what the table in docs/cloud.md counts by."""
    Repository.init(bucket(place))
    held = rows(range(50), elements=140)
    cache = CacheFolder(tmp_path / "cache", limit_bytes=1 << 30)
    recording = RecordingBackend(bucket(place))
    for number in range(14):
        recording.reset()
        weather.requests.clear()
        repository = Repository.open(recording, cache=cache)
        repository.snapshots()
        take(repository, held | rows([number], seed=number + 1, elements=140), at=number)
        fold(repository.blobs)
        assert len(weather.requests) == len(recording.calls) + recording.count("delete")
    assert recording.count("get", prefix="snapshots/") == recording.count("get", prefix="index/") == 0


def test_a_large_pack_goes_up_in_parts(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapstore.backends.cloud._WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr("snapstore.backends.cloud._PART_BYTES", 5 << 20)
    backend = bucket(place)
    data = bytes(range(256)) * (6 << 12)
    backend.put("packs/ab/large", [data[:100], data[100:]], unique=True)
    assert backend.get("packs/ab/large").data == data
    assert backend.get_range("packs/ab/large", 5 << 20, 3) == data[5 << 20 : (5 << 20) + 3]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_pack_of_which_some_parts_went_up_is_no_object(
    place: str, server: str, weather: Weather, is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a torn write leaves in a bucket: parts that nobody sees, and a lifecycle rule ends (docs/cloud.md)."""
    monkeypatch.setattr("snapstore.backends.cloud._WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr("snapstore.backends.cloud._PART_BYTES", 5 << 20)
    repository = Repository.init(bucket(place, create=True))
    held = rows(range(50), elements=140)
    snapshot = take(repository, held)
    name = f"packs/ab/{'ab' * 16}"
    if is_killed:
        weather.faults = [("DELETE", "400 Bad Request", b"")]  # nobody is left to clean up
    weather.faults = [("PUT", "400 Bad Request", b""), *weather.faults]
    with pytest.raises(Unavailable, match=name):
        repository.backend.put(name, [bytes(12 << 20)], unique=True)
    weather.faults.clear()
    unfinished = ask(server, "GET", "bucket?uploads").count(b"<Upload>")
    assert bool(unfinished) == is_killed
    again = Repository.open(bucket(place))
    assert name not in {entry.name for entry in again.backend.list()}
    with pytest.raises(NotFound):
        again.backend.get(name)
    gc(again)
    assert read(again, snapshot)["public.memories"] == held
    assert verify(again, read_data=True).damaged == ()


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
    with pytest.raises(Unavailable, match="is not there"):  # `NotFound` would say that the pack was collected
        bucket("s3://nowhere/x").get_range("packs/ab/abc", 0, 4)
    with pytest.raises(Unavailable, match="is not there"):
        bucket("s3://nowhere/x").get("config")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("snapstore.backends.cloud._RETRIES", {"max_retries": 0})
    with pytest.raises(Unavailable, match="s3://bucket/x") as caught:
        bucket("s3://bucket/x").get("config")
    assert SECRET not in caught.value.message


def test_the_command_line_works_on_a_bucket(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAP_CACHE", str(tmp_path / "cache"))
    snap = Snap(tmp_path)
    assert snap.error("-r", place, "list", code=10)["message"] == f"there is no repository in {place}"
    assert snap.json("init", place)["repository"] == place
    assert snap.json("list", env={"SNAP_REPO": place}) == []
    assert snap.json("-r", place, "verify")["damaged"] == []
    assert snap.error("init", place, code=1)["code"] == "exists"
    assert snap.error("-r", "ftp://x/y", "list", code=1)["code"] == "unsupported"
    told = snap("-r", "s3://nowhere/x", "init", "-vv", code=1)
    assert SECRET not in told.stdout + told.stderr
    assert not list(tmp_path.iterdir()), "an empty repository leaves nothing to keep"
    take(Repository.open(bucket(place)), rows(range(20)))
    assert len(snap.json("-r", place, "list", "--no-cache")) == 1
    assert not list(tmp_path.iterdir())
    assert len(snap.json("-r", place, "list", "--limit-upload", "1GB")) == 1
    assert [one["entries"] for one in snap.json("cache", "info")["repositories"]] == [1]
