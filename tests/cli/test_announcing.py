"""Hooks and notices of snap.toml: what they are given, what a failure of theirs does, and what they must never see."""

from __future__ import annotations

import fcntl
import json
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apsw
import pytest

from snap_cli.notices import Call, send
from snap_cli.prometheus import Run, record
from snapstore.errors import Conflict, Invalid
from tests.cli.command import Snap

NOTES = "notes.jsonl"
KEEP = f"import sys, os; open({NOTES!r}, 'a').write(os.environ['SNAP_HOOK'] + ' ' + sys.stdin.read() + '\\n')"


def hook(code: str) -> str:
    return json.dumps(shlex.join([sys.executable, "-c", code]))


@pytest.fixture
def memory(snap: Snap) -> Snap:
    """A repository, and a SQLite file with three memories that snap.toml names."""
    with apsw.Connection(str(snap.folder / "memory.db")) as connection:
        connection.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT)")
        connection.execute("INSERT INTO memories VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    connection.close()
    wish(snap, "")
    return snap


def wish(snap: Snap, text: str) -> None:
    head = f'[sources.agents]\nurl = "sqlite://{snap.folder}/memory.db"\n'
    (snap.folder / "snap.toml").write_text(head + text, encoding="utf-8")


def break_source(snap: Snap) -> None:
    (snap.folder / "memory.db").write_bytes(b"this is no database, whatever its name says" * 20)


def noted(snap: Snap) -> list[tuple[str, dict[str, Any]]]:
    lines = (snap.folder / NOTES).read_text(encoding="utf-8").splitlines()
    (snap.folder / NOTES).unlink()
    return [(name, json.loads(text)) for name, _, text in (line.partition(" ") for line in lines)]


ALL = "[hooks]\n" + "".join(f"{name} = {hook(KEEP)}\n" for name in ("before", "after", "on-failure", "finally"))


def test_hooks_are_given_what_json_prints(memory: Snap) -> None:
    wish(memory, ALL)
    printed = memory.json("take")
    told = noted(memory)
    assert [name for name, _ in told] == ["before", "after", "finally"]
    assert told[0][1] == {"command": "take", "exit_code": None}
    assert told[1][1] == told[2][1] == {**printed, "command": "take", "exit_code": 0}
    memory("restore", "latest", "--dry-run")
    assert not (memory.folder / NOTES).exists()
    memory("restore", "latest")
    assert [one["command"] for _, one in noted(memory)] == ["restore"] * 3
    memory("gc", "--keep-all")
    assert noted(memory)[2][1]["removed"] == []
    memory("guard", "--", sys.executable, "-c", "raise SystemExit(7)", code=7)
    name, document = noted(memory)[1]
    assert (name, document["command"], document["exit_code"], document["words"][-1]) == (
        "on-failure", "guard", 7, "raise SystemExit(7)",
    )  # fmt: skip


def test_a_scheduled_take_has_its_hooks(memory: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(memory.folder / "state"))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    wish(memory, ALL)
    memory("schedule", "run")
    assert [name for name, _ in noted(memory)] == ["before", "after", "finally"]


def test_a_before_that_fails_stops_the_command(memory: Snap) -> None:
    wish(memory, ALL.replace(hook(KEEP), hook("print('locked'); raise SystemExit(3)"), 1))
    result = memory("take", code=1)
    assert "the hook `before` failed" in result.stderr
    assert "exit code 3" in result.stderr
    assert "locked" in result.stderr
    assert memory.json("list") == []
    told = noted(memory)
    assert [name for name, _ in told] == ["on-failure", "finally"]
    assert told[0][1]["exit_code"] == 1
    assert "was not begun" in told[0][1]["message"]


def test_other_hooks_warn_and_change_no_exit_code(memory: Snap) -> None:
    wish(memory, f"[hooks]\nafter = {hook('raise SystemExit(3)')}\nfinally = 'no-such-program --x'\n")
    result = memory("take")
    assert "warning: the hook `after` failed" in result.stderr
    assert "exit code 3" in result.stderr
    assert "the hook `finally` failed: no-such-program: it could not be run" in result.stderr
    assert len(memory.json("list")) == 1


def test_a_hook_that_does_not_end_is_killed_with_what_it_started(memory: Snap) -> None:
    sleeps = "import fcntl, time; fcntl.flock(open('held', 'w'), fcntl.LOCK_EX); open('began', 'w'); time.sleep(600)"
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeps!r}])"
    wish(memory, f"[hooks]\nafter = {hook(starts)}\nlimit-seconds = 2\n")
    assert "did not end within 2 seconds" in memory("take").stderr
    assert (memory.folder / "began").exists()
    with (memory.folder / "held").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # for ever, if the child still had it


def test_a_snap_in_a_hook_runs_no_hooks(memory: Snap) -> None:
    wish(memory, ALL)
    memory("take", env={"SNAP_HOOK": "after"})
    assert not (memory.folder / NOTES).exists()


def test_a_file_that_others_may_write_runs_and_sends_nothing(memory: Snap) -> None:
    for text in (ALL, "[notices]\nwebhook = 'http://127.0.0.1:9/x'\n", "[notices]\nprometheus = 'x.prom'\n"):
        wish(memory, text)
        (memory.folder / "snap.toml").chmod(0o666)
        assert "others than you" in memory.error("take", code=2)["message"]
        (memory.folder / "snap.toml").unlink()
    assert not (memory.folder / NOTES).exists()


def test_a_failure_is_told_without_secrets(memory: Snap) -> None:
    wish(memory, ALL)
    memory("take", "postgresql://me:hunter22@127.0.0.1:1/agents", code=1)
    text = (memory.folder / NOTES).read_text(encoding="utf-8")
    assert "hunter22" not in text
    (_, _), (name, document), _ = noted(memory)
    assert (name, document["exit_code"], document["code"]) == ("on-failure", 1, "unavailable")
    command = [sys.executable, "-c", "pass", "postgresql://me:hunter22@host/x"]
    memory("guard", "--", *command)
    assert "hunter22" not in (memory.folder / NOTES).read_text(encoding="utf-8")


class Heard(BaseHTTPRequestHandler):
    """Writes down what it is asked, and answers with the codes it was given, the last one again and again."""

    codes: list[int]
    requests: list[tuple[str, str, Any]]

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.requests.append((self.command, self.path, json.loads(body) if body else None))
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_POST = do_GET  # noqa: N815  # the name is the library's

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(*codes: int) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A server that answers with these codes; its URL and what it heard."""

    class Own(Heard):
        pass

    Own.codes, Own.requests = list(codes), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", Own.requests
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("snap_cli.notices._PAUSE_SECONDS", 0.01)


def test_notices_tell_of_success_and_failure(memory: Snap) -> None:
    with listening(200) as (url, heard):
        wish(memory, f"[notices]\nwebhook = '{url}/hook?token=t0ken'\nhealth-check = '${{PING}}'\n")
        printed = memory.json("take", env={"PING": f"{url}/ping/uuid"})
        assert sorted(heard, key=str) == [
            ("GET", "/ping/uuid", None),
            ("POST", "/hook?token=t0ken", {**printed, "command": "take", "exit_code": 0}),
        ]
        heard.clear()
        break_source(memory)
        memory("take", code=4, env={"PING": f"{url}/ping/uuid/"})
        (get, post) = sorted(heard, key=str)
        assert get == ("GET", "/ping/uuid/fail", None)
        assert post[2]["exit_code"] == 4
        assert "memory.db" in post[2]["message"]
        heard.clear()
        wish(memory, "[notices]\nhealth-check = '${PING}'\n")
        assert "not one of a web server" in memory("take", code=4, env={"PING": f"file://{memory.folder}"}).stderr
        wish(memory, f"[notices]\nwebhook = '{url}'\non = ['failure']\nhealth-check = '{url}'\n")
        memory("gc", "--keep-all")  # no sign that snapshots are taken
        assert heard == []


def test_a_notice_that_does_not_arrive_is_a_warning_without_the_url(memory: Snap) -> None:
    with listening(500, 500) as (url, heard):
        wish(memory, f"[notices]\nwebhook = '{url}/s3cret'\nhealth-check = '${{NOT_SET}}'\n")
        result = memory("take")
        assert "the webhook: HTTP 500" in result.stderr
        assert "NOT_SET" in result.stderr
        assert "s3cret" not in result.stderr
        assert len(heard) == 2
    wish(memory, f"[notices]\nwebhook = '{url}/s3cret'\n")
    assert "connection refused" in memory("take").stderr
    assert "s3cret" not in memory("config", "show").stdout + memory("config", "show", "--json").stdout


@pytest.mark.parametrize(
    ("codes", "told", "times"), [([503, 204], [], 2), ([404], ["HTTP 404"], 1), ([302], ["HTTP 302"], 1)]
)
def test_what_may_pass_is_tried_once_more(codes: list[int], told: list[str], times: int) -> None:
    with listening(*codes) as (url, heard):
        assert send([Call("webhook", url, {"a": 1})]) == [f"the webhook: {one}" for one in told]
        assert len(heard) == times


def test_a_server_that_says_nothing_holds_nobody_up() -> None:
    with listening(200) as (url, _):
        began = time.monotonic()
        assert send([Call("webhook", url + "/x", {})], limit_seconds=0) in (
            [],
            ["the webhook: no answer within 0 seconds"],
        )
        assert time.monotonic() - began < 5


def test_prometheus_reads_how_takes_went(memory: Snap) -> None:
    wish(memory, "[notices]\nprometheus = 'metrics/snap.prom'\n")
    assert "cannot be written" in memory("take").stderr
    (memory.folder / "metrics").mkdir()
    taken = memory.json("take")
    file = memory.folder / "metrics" / "snap.prom"
    first = samples(file)
    assert first['snapstore_take_exit_code{source="agents"}'] == 0
    assert first['snapstore_take_rows{source="agents"}'] == 3
    assert first['snapstore_take_added_bytes{sources="agents"}'] == taken["bytes_added"]
    success = 'snapstore_take_last_success_timestamp_seconds{source="agents"}'
    assert abs(first[success] - time.time()) < 60
    break_source(memory)
    memory("take", code=4)
    second = samples(file)
    assert second['snapstore_take_exit_code{source="agents"}'] == 4
    assert second[success] == first[success]
    assert second['snapstore_take_last_run_timestamp_seconds{source="agents"}'] > first[success]
    assert [one.name for one in file.parent.iterdir()] == ["snap.prom"]


def samples(file: Path) -> dict[str, float]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_the_file_for_prometheus_keeps_what_others_wrote(tmp_path: Path) -> None:
    file = tmp_path / "snap.prom"
    record(file, Run(['a "b"\\\n'], 0, 10.0, 1.0, 7, {'a "b"\\\n': 2}))
    record(file, Run(["c"], 1, 20.0, 1.0))
    found = samples(file)
    assert found['snapstore_take_rows{source="a \\"b\\"\\\\\\n"}'] == 2
    assert found['snapstore_take_exit_code{source="c"}'] == 1
    beside = tmp_path / "snap.prom.new"
    beside.touch()
    with pytest.raises(Conflict, match="another take writes it"):
        record(file, Run(["c"], 0, 30.0, 1.0), wait_seconds=0)
    assert samples(file) == found
    beside.unlink()
    file.write_text("node_load1 0.5\n", encoding="utf-8")
    with pytest.raises(Invalid, match="left alone"):
        record(file, Run(["c"], 0, 30.0, 1.0))
    assert not beside.exists()
    assert file.read_text(encoding="utf-8") == "node_load1 0.5\n"


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("[hooks]\nafterwards = 'x'", "4:1", "hooks.afterwards means nothing"),
        ('[hooks]\nafter = "it\'s"', "4:9", "hooks.after is not a command"),
        ("[hooks]\nlimit-seconds = 0", "4:17", "must be 1 or more"),
        ("[notices]\nwebhook = 'ftp://t0ken'", "4:11", "is not a URL of a web server"),
        ("[notices]\non = ['fail']", "4:6", "has 'fail'"),
    ],
)
def test_mistakes_are_told_with_their_place(memory: Snap, text: str, place: str, told: str) -> None:
    wish(memory, text)
    error = memory.error("take", code=2)
    assert f"snap.toml:{place}: " in error["message"]
    assert told in error["message"]
    assert "t0ken" not in error["message"] + error["hint"]
