"""`snap doctor`: what is not well is found, with the command that helps, and what is well is said to be."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from snap_cli.runs import Result
from snap_cli.verified import Noted, Verification, VerifyNotes
from snapstore.backends.directory import DirectoryBackend
from snapstore.repository import Repository
from snapstore.repository.snapshot import Snapshot
from tests.cli.command import Snap

DAY = 86_400


@pytest.fixture
def memory(snap: Snap, monkeypatch: pytest.MonkeyPatch) -> Snap:
    """A repository with a snapshot of a SQLite file that snap.toml names, and nobody's crontab."""
    programs = snap.folder / "bin"
    programs.mkdir()
    (programs / "crontab").write_text(f"#!/bin/sh\nexec cat {snap.folder}/table", encoding="utf-8")
    (programs / "crontab").chmod(0o755)
    (snap.folder / "table").touch()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(snap.folder / "config"))
    with apsw.Connection(str(snap.folder / "memory.db")) as connection:
        connection.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
            "INSERT INTO memories SELECT i, hex(randomblob(40)) FROM n"
        )
    connection.close()
    (snap.folder / "snap.toml").write_text(
        f'[sources.agents]\nurl = "sqlite://{snap.folder}/memory.db"\n', encoding="utf-8"
    )
    snap("take")
    return snap


def found(snap: Snap, *words: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The findings by check."""
    document = snap.json("doctor", *words, code=code)
    assert document["well"] == (code == 0)
    checks: dict[str, list[dict[str, Any]]] = {}
    for one in document["findings"]:
        checks.setdefault(one["check"], []).append(one)
    return checks


def age(monkeypatch: pytest.MonkeyPatch, **by: float) -> None:
    """Let the doctor come so much later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # one clock is enough here
            return datetime.now(tz) + timedelta(**by)

    monkeypatch.setattr("snap_cli.doctor.datetime", Later)


def repository(snap: Snap) -> Repository:
    return Repository.open(DirectoryBackend(snap.folder / ".snapstore"))


def test_all_is_well_after_a_take(memory: Snap) -> None:
    checks = found(memory)
    assert set(checks) == {"repository", "recent", "complete", "restorable", "verified", "room", "pending", "schedule"}
    assert {one["status"] for name, own in checks.items() if name != "schedule" for one in own} == {"ok"}
    assert checks["schedule"][0]["status"] == "note"
    assert checks["schedule"][0]["command"] == "snap schedule install --daily 02:00"
    result = memory("doctor")
    assert "all is well" in result.stderr
    assert memory("doctor", "-q").stdout == ""


def test_an_old_snapshot_is_to_be_taken_again(memory: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    age(monkeypatch, hours=25)
    found(memory)
    [recent] = found(memory, "--max-age", "12h", code=1)["recent"]
    assert (recent["source"], recent["command"]) == ("agents", "snap take agents")
    assert "25 hours ago, and 12 hours are allowed" in recent["told"]
    age(monkeypatch, hours=27)
    assert "and 26 hours are allowed" in memory("doctor", "-q", code=1).stdout
    memory("doctor", "--max-age", "soon", code=2)


def test_each_source_is_looked_at(memory: Snap) -> None:
    with (memory.folder / "snap.toml").open("a", encoding="utf-8") as file:
        file.write('[sources.other]\nurl = "sqlite:///nowhere.db"\n')
    recent = {one["source"]: one for one in found(memory, code=1)["recent"]}
    assert recent["agents"]["status"] == "ok"
    assert "no snapshot of it yet" in recent["other"]["told"]
    found(memory, "agents")
    memory("doctor", "nobody", code=2)


def test_safety_snapshots_are_not_takes(memory: Snap) -> None:
    with apsw.Connection(str(memory.folder / "memory.db")) as connection:
        connection.execute("UPDATE memories SET content = 'x' WHERE id = 3")
    connection.close()
    before = found(memory)["recent"][0]["told"]
    assert memory.json("restore", "latest", "--conflict", "update")["safety"]
    assert found(memory)["recent"][0]["told"] == before


def test_what_is_missing_in_the_last_snapshot_is_told(memory: Snap) -> None:
    whole = (memory.folder / "memory.db").read_bytes()
    (memory.folder / "memory.db").write_bytes(whole[:-8192] + bytes(4096) + whole[-4096:])
    memory("take", "--salvage", code=3)
    [complete] = found(memory, code=1)["complete"]
    assert complete["told"].startswith("not held: ")
    with (memory.folder / "snap.toml").open("a", encoding="utf-8") as file:
        file.write("allow-partial = true\n")
    assert found(memory)["complete"][0]["status"] == "note"


def test_a_lost_pack_makes_the_snapshot_one_that_cannot_be_restored(memory: Snap) -> None:
    packs = [path for path in (memory.folder / ".snapstore" / "packs").rglob("*") if path.is_file()]
    max(packs, key=lambda path: path.stat().st_size).rename(memory.folder / "away")
    [restorable] = found(memory, code=1)["restorable"]
    assert "cannot be restored whole" in restorable["told"]
    assert restorable["command"] == "snap verify"


def test_verify_is_remembered_and_due_again(memory: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    age(monkeypatch, days=9)
    [verified] = found(memory, "--max-age", "30d", code=1)["verified"]
    assert verified["told"] == "never by this user on this machine"
    assert verified["command"] == "snap verify --sample 10%"
    memory("verify")
    assert "(structure), no damage" in found(memory, "--max-age", "30d", "--verify-age", "10d")["verified"][0]["told"]
    assert "9 days ago" in found(memory, "--max-age", "30d", code=1)["verified"][0]["told"]
    memory("verify", "latest", "--read-data")  # one snapshot is not the repository
    assert "(structure)" in found(memory, "--max-age", "30d", code=1)["verified"][0]["told"]


def test_damage_is_told_until_a_verify_that_looked_there_finds_none(memory: Snap) -> None:
    [pack] = [path for path in (memory.folder / ".snapstore" / "packs").rglob("*") if path.is_file()][:1]
    whole = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    memory("verify", "--read-data", code=4)
    pack.write_bytes(whole)
    assert "found damage" in found(memory, code=1)["verified"][0]["told"]
    memory("verify")
    assert found(memory, code=1)["verified"][0]["command"] == "snap verify --read-data"
    memory("verify", "--read-data")
    assert "every byte" in found(memory)["verified"][0]["told"]


def test_notes_of_verifications_are_of_one_place(memory: Snap, states: Path) -> None:
    notes = VerifyNotes(states, repository(memory))
    done = Verification("restore test", datetime.now(UTC), 1)
    notes.write(done, is_whole=False)
    assert notes.read() == Noted(restore_test=done)
    assert "found differences" in found(memory, code=1)["verified"][1]["told"]
    (memory.folder / ".snapstore").rename(memory.folder / "moved")
    assert VerifyNotes(states, Repository.open(DirectoryBackend(memory.folder / "moved"))).read() == Noted()


def test_room_is_measured_by_snap_toml(memory: Snap) -> None:
    with (memory.folder / "snap.toml").open("a", encoding="utf-8") as file:
        file.write("[retention]\nkeep-last = 3\nmax-size = '1 B'\nmin-free = '900 TB'\n")
    size, free = found(memory, code=1)["room"]
    assert "1 B that max-size allows" in size["told"]
    assert "900.0 TB must be" in free["told"]
    assert size["command"] == free["command"] == "snap gc --dry-run"


def test_interrupted_work_is_told(memory: Snap) -> None:
    begun = repository(memory).begin()
    path = memory.folder / ".snapstore" / Snapshot(begun.id, datetime.now(UTC)).name
    assert found(memory)["pending"][0]["told"] == "nothing interrupted is left"
    os.utime(path, (time.time() - 2 * 3600,) * 2)
    assert found(memory)["pending"][0]["status"] == "note"
    os.utime(path, (time.time() - 2 * DAY,) * 2)
    [pending] = found(memory, code=1)["pending"]
    memory(*pending["command"].split()[1:])
    assert found(memory)["pending"][0]["status"] == "ok"


def test_a_schedule_that_failed_or_stands_still_is_told(
    memory: Snap, states: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = Path(memory.json("schedule", "status", code=1)["log"]).parent.name
    (memory.folder / "table").write_text(f"# begin {name} (written by `snap schedule`; change it there)\n"
        f"* * * * * x\n# end {name}\n", encoding="utf-8")  # fmt: skip
    folder = states / name
    folder.mkdir(parents=True)
    (folder / "times").write_text("0 * * * *", encoding="utf-8")
    assert "has not run yet" in found(memory)["schedule"][0]["told"]
    note(folder, exit_code=0)
    assert found(memory)["schedule"][0]["status"] == "ok"
    note(folder, exit_code=1, words="no route to host")
    [schedule] = found(memory, code=1)["schedule"]
    assert "exit code 1: no route to host" in schedule["told"]
    note(folder, exit_code=0)
    age(monkeypatch, hours=3)
    checks = found(memory, code=1)
    assert "no run has ended since it was due at" in checks["schedule"][0]["told"]
    assert "by the schedule the next was due at" in checks["recent"][0]["told"]


def note(folder: Path, **how: Any) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = Result(now, now, how["exit_code"], "", how.get("words", "done"))
    words = {name: getattr(done, name) for name in Result.__slots__}
    (folder / "last.json").write_text(json.dumps(words), encoding="utf-8")


def test_a_repository_that_does_not_open_is_a_finding(memory: Snap) -> None:
    [repository] = found(memory, "-r", "elsewhere", code=1)["repository"]
    assert "there is no repository in " in repository["told"]


def test_one_passphrase_is_few(memory: Snap) -> None:
    env = {"SNAP_PASSPHRASE": "open sesame"}
    memory("init", "--encrypt", "sealed", env=env)
    memory("take", "-r", "sealed", env=env)
    told = memory.json("doctor", "-r", "sealed", env=env)["findings"]
    [keys] = [one for one in told if one["check"] == "keys"]
    assert (keys["status"], keys["command"]) == ("note", "snap -r sealed key add --label spare")
    assert "no passphrase was given" in found(memory, "-r", "sealed", code=1)["repository"][0]["told"]
