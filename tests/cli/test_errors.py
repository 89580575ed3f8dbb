"""Bad input of every kind gets one sentence, a hint and the right exit code, and loses nothing."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snap_cli.errors import failure_of
from snapstore.errors import Conflict, Corrupt, Exists, Invalid, NotFound, Unavailable, Unsupported, WrongKey
from tests.cli.command import Snap, environment, run


def told_well(result_stderr: str) -> None:
    lines = result_stderr.strip().splitlines()
    said = [line for line in lines[:-1] if not line.startswith("  ")]  # a list has a line for each thing
    assert said[-1].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert "Traceback" not in result_stderr


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("postgresql://postgres@127.0.0.1:1/agents", 1),
        ("postgresql://nosuchhost.invalid/agents", 1),
        ("postgresql://[broken", 2),
        ("host=x nonsense=1", 2),
        ("http://localhost/agents", 2),
        ("nothing", 2),
    ],
)
def test_a_wrong_url_or_a_server_that_is_away(snap: Snap, source: str, code: int) -> None:
    told_well(snap("take", source, code=code).stderr)
    assert snap.json("list") == []


def test_a_database_or_role_that_is_not_there(snap: Snap, url: str) -> None:
    database = url.partition("@/")[2].partition("?")[0]
    told_well(snap("take", url.replace(database, "nodatabase"), code=2).stderr)
    told_well(snap("take", url.replace("postgres@", "nobody@"), code=2).stderr)


def test_a_role_without_permission_is_told_which_table(snap: Snap, url: str) -> None:
    run(url, "DO $$ BEGIN CREATE ROLE onlooker LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    result = snap("take", url.replace("postgres@", "onlooker@"), code=1)
    told_well(result.stderr)
    assert "table public.memories: this role may not read it" in result.stderr
    assert snap.json("list") == []


def test_a_folder_that_is_no_repository(snap: Snap, folder: Path) -> None:
    for name in ("nothing", "empty", "file"):
        if name == "empty":
            (folder / name).mkdir()
        elif name == "file":
            (folder / name).write_text("x", encoding="utf-8")
        result = snap("-r", name, "list", code=10)
        told_well(result.stderr)
        assert str(folder / name) in result.stderr
    (folder / "half").mkdir()
    (folder / "half" / "LOCK").write_text("", encoding="utf-8")
    told_well(snap("-r", "half", "list", code=10).stderr)


def test_a_newer_format_is_refused_by_name(snap: Snap, folder: Path) -> None:
    config = folder / ".snapstore" / "config"
    data = bytearray(config.read_bytes())
    data[6] = 9
    config.write_bytes(data)
    error = snap.error("list", code=1)
    assert error["code"] == "unsupported"
    assert "format 9" in error["message"]


def test_damage_is_named_with_exit_code_4(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    snapshot = next((folder / ".snapstore" / "snapshots").iterdir())
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert snapshot.name in snap.error("list", code=4)["message"]
    snapshot.write_bytes(whole)
    for pack in (folder / ".snapstore" / "packs").glob("*/*"):
        pack.write_bytes(pack.read_bytes()[:60])
    assert snap.error("show", "latest:memories:1", code=4)["code"] == "corrupt"
    run(url, "DELETE FROM memories")
    told_well(snap("restore", "latest", code=4).stderr)
    for pack in (folder / ".snapstore" / "packs").glob("*/*"):
        pack.unlink()
    told_well(snap("show", "latest:memories:1", code=4).stderr)
    assert snap.error("restore", "latest", code=4)["hint"]


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["list", "--nonsense"], ["restore"], ["diff", "latest"], ["gc", "--keep-last", "x"], ["tag"], []],
)
def test_misuse_exits_2_and_is_an_error_document_with_json(snap: Snap, words: list[str]) -> None:
    result = snap(*words, code=2)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert snap.error(*words, code=2)["code"] == "usage"


def test_every_class_of_error_has_its_exit_code() -> None:
    codes = {
        kind: failure_of(kind("x")).exit_code
        for kind in (Invalid, NotFound, Exists, Conflict, Corrupt, Unavailable, Unsupported, WrongKey)
    }
    assert codes == {
        Invalid: 2,
        NotFound: 1,
        Exists: 1,
        Conflict: 1,
        Corrupt: 4,
        Unavailable: 1,
        Unsupported: 1,
        WrongKey: 12,
    }
    assert failure_of(Conflict("x"), command="restore").exit_code == 5
    assert failure_of(Conflict("x"), command="undo").exit_code == 5
    assert failure_of(KeyboardInterrupt()).exit_code == 130


def test_an_error_nobody_foresaw_is_one_sentence_and_a_request_to_report_it(
    snap: Snap, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise RuntimeError("postgresql://me:hunter22@db/x is odd")

    monkeypatch.setattr("snap_cli.context.read_settings", broken)
    result = snap("list", "--source", "postgresql://me:hunter22@db/x", code=1)
    assert "report" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter22" not in result.stderr
    for shown in (snap("list", "-vv", code=1), snap("list", code=1, env={"SNAP_DEBUG": "1"})):
        assert "Traceback" in shown.stderr


def test_a_reader_that_stops_early_is_no_error(snap: Snap, url: str) -> None:
    run(url, "INSERT INTO memories SELECT n, repeat('x', 60), 0, NULL, NULL FROM generate_series(1000, 9000) n")
    snap("take", url)
    run(url, "DELETE FROM memories")
    child = snap.start("diff", "latest", "live", "--rows")
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr is not None
    said = child.stderr.read()
    child.stderr.close()
    child.wait()
    assert "Traceback" not in said
    assert "error" not in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


NOISE = """
INSERT INTO memories SELECT n, string_agg(md5(random()::text), ''), 0, NULL, NULL
FROM generate_series(1000, 1400) n, generate_series(1, 400) GROUP BY n
"""


def test_a_full_disk_loses_nothing_and_says_so(snap: Snap, url: str, small_disk: Path) -> None:
    place = str(small_disk / "repository")
    snap("init", place)
    refused = snap.error("-r", place, "take", url, "--table", "visits", code=1)
    assert "are free" in refused["message"]
    assert "--min-free" in refused["hint"]
    snap("-r", place, "take", url, "--table", "visits", env={"SNAP_MIN_FREE": "0"})
    run(url, NOISE)
    result = snap("-r", place, "take", url, "--min-free", "100kB", code=1)
    told_well(result.stderr)
    assert "full" in result.stderr
    (kept,) = snap.json("-r", place, "list")
    assert snap.json("-r", place, "show", "latest:visits:ann,2026-01-01")["row"]["note"] == "first"
    assert sorted(one.name for one in (small_disk / "repository" / "snapshots").iterdir()) == [kept["snapshot"]]
    # What is full can still be emptied, and what is left is whole.
    snap("-r", place, "gc", "--keep-all")
    assert snap.json("-r", place, "verify", "--read-data")["damaged"] == []
    snap("-r", place, "take", url, "--table", "visits", "--min-free", "100kB")
    assert (
        "are allowed" in snap.error("-r", place, "take", url, "--max-size", "1kB", "--min-free", "0", code=1)["message"]
    )
    snap("-r", place, "take", url, "--max-size", "much", code=2)


def test_a_file_that_cannot_grow_loses_nothing_and_says_so(snap: Snap, url: str) -> None:
    snap("take", url, "--table", "visits")
    run(url, NOISE)
    limited = subprocess.run(
        [sys.executable, "-c", LIMITED, url],
        cwd=snap.folder,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert limited.returncode == 1, limited.stderr
    told_well(limited.stderr)
    assert len(snap.json("list")) == 1
    assert len(list((snap.folder / ".snapstore" / "snapshots").iterdir())) == 1
    snap("take", url)


LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, {resource.RLIM_INFINITY}))
from snap_cli.main import main
sys.argv = ["snap", "take", sys.argv[1]]
main()
"""


def test_a_repository_of_somebody_else_is_refused(snap: Snap, url: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    words = ["--json", "-r", str(snap.folder / ".snapstore"), "list"]
    child = subprocess.run(
        [sys.executable, "-c", STRANGER, *words],
        cwd="/",
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert child.returncode in (1, 10), child.stderr
    assert json.loads(child.stderr)["hint"]


# Everything is imported before the program becomes somebody to whom its files may be closed.
STRANGER = """
import os, pwd
from snap_cli.main import main
os.setgid(pwd.getpwnam("nobody").pw_gid)
os.setuid(pwd.getpwnam("nobody").pw_uid)
main()
"""


def test_nothing_is_shown_in_colour_unless_somebody_watches(snap: Snap, url: str) -> None:
    assert "\x1b" not in snap("take", url).stdout
    assert "\x1b" not in snap("show", "nothing", code=1).stderr


def test_quiet_leaves_only_data(snap: Snap, url: str) -> None:
    assert snap("take", url, "-q", "--where", "memories=id < 3").stderr == ""
    assert snap("status", "-q").stderr == ""


def test_json_is_one_document_on_stdout_for_every_command(snap: Snap, url: str, databases: Callable[..., str]) -> None:
    snap.json("take", url)
    run(url, "DELETE FROM memories WHERE id = 1")
    for words in (
        ["list"], ["show", "latest"], ["show", "latest:memories"], ["show", "latest:memories:2"], ["show", "live"],
        ["diff", "latest", "live"], ["diff", "latest", "live", "--rows"], ["diff", "latest", "live", "--stat"],
        ["status"], ["verify"], ["verify", "--read-data"],
        ["restore", "latest", "--dry-run"], ["restore", "latest"], ["undo", "--dry-run"], ["undo", "--yes"],
        ["gc", "--keep-last", "1", "--dry-run"], ["gc", "--keep-all"], ["tag", "add", "latest", "x"],
        ["tag", "remove", "latest", "x"], ["pin", "latest"], ["unpin", "latest"],
        ["restore", "latest", "--to", databases()], ["init", "another"], ["rm", "latest"],
    ):  # fmt: skip
        assert snap.json(*words) is not None


def test_a_list_of_things_has_a_line_for_each(snap: Snap, url: str) -> None:
    run(url, 'CREATE TABLE a AS SELECT adbin FROM pg_attrdef; CREATE TABLE "b\n hint: no" AS TABLE a')
    said = snap("take", url, code=1).stderr
    assert "\\n  table" not in said
    lines = said.splitlines()
    assert lines[0] == "error: 2 things in this database cannot be held:"
    assert lines[1].startswith("  table public.a: column adbin")
    # A name may have a line end in it; no line but ours begins at the margin.
    assert [line for line in lines[1:] if not line.startswith(" ")] == [
        line for line in lines if line.startswith("hint: ")
    ]
    assert len([line for line in lines if line.startswith("hint: ")]) == 1


def test_where_the_live_rows_are_fits_a_terminal(snap: Snap, url: str) -> None:
    snap("take", url)
    [source] = snap.json("show", "latest")["sources"]
    said = snap("status").stderr.splitlines()[0]
    assert said == f"live: {source['url']} (as recorded)"
    assert len(said.replace(source["url"], "postgresql://me@db.example.com:5432/agents?sslmode=require")) <= 80
