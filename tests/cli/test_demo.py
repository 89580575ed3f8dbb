"""The demo tells a true story to its end, and nothing of it is left, however it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snap_cli.demo.stage import Failed, stage_in
from snap_cli.main import cli
from tests.soak import IS_SOAK

HERE = Path(__file__).parents[2]
ROWS = 400
NOT_LEFT_SECONDS = 60
LONGEST_SECONDS = 180

# What is asked of a demo in somebody's shell: to leave their settings alone.
FOREIGN = {"SNAP_REPO": "/nowhere", "SNAP_SOURCE": "postgresql://nobody@nowhere/nothing", "PGPORT": "1", "PGHOST": "/"}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the demo puts everything; short, as a socket is among it."""
    folder = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    # As /tmp is: the server may run as another account, which removes its own folder.
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(temporary: Path, *arguments: str, rows: int = ROWS) -> subprocess.Popen[str]:
    environment = {**os.environ, **FOREIGN, "TMPDIR": str(temporary), "PYTHONPATH": f"{HERE}:{HERE / 'cli'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "snap_cli", "demo", "--rows", str(rows), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=temporary,
    )


def assert_nothing_is_left(temporary: Path) -> None:
    """No file, and no process that speaks of the folder."""
    end = time.monotonic() + NOT_LEFT_SECONDS
    while True:
        processes = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
        left = [line for line in processes.splitlines() if str(temporary) + "/" in line]
        files = list(temporary.iterdir())
        if not left and not files:
            return
        assert time.monotonic() < end, f"still there: {left} {files}"
        time.sleep(0.05)


@pytest.mark.parametrize("place", [*["a temporary folder", "a new folder"] * IS_SOAK, "an empty folder"])
def test_the_demo_does_what_it_says_and_leaves_all_as_it_was(temporary: Path, place: str) -> None:
    folder = temporary / "mine"
    if place == "an empty folder":
        folder.mkdir()
    demo = start(temporary, *["--folder", str(folder)] * (place != "a temporary folder"))
    told, complaints = demo.communicate(timeout=LONGEST_SECONDS)
    assert demo.returncode == 0, told + complaints
    typed = re.findall(r"^\$ snap (\w+)", told, re.MULTILINE)
    assert " ".join(typed) == "init take take list diff status diff diff restore restore status gc verify"
    assert "no differences between" in told
    before, after = re.findall(r"^  (?:before the clean-up|after the restore)\s+([0-9a-f]{32})$", told, re.MULTILINE)
    assert before == after
    assert "\x1b" not in told + complaints
    assert "warning" not in complaints
    assert (f"{folder}/.snapstore" in told) == (place != "a temporary folder")
    if place == "an empty folder":
        folder.rmdir()  # it is there, and empty again
    assert_nothing_is_left(temporary)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("$ snap restore latest --conflict update --plan", signal.SIGINT),
        ("$ snap take agents --tag monday", signal.SIGTERM),
        *[
            ("$ snap init", signal.SIGINT),
            ("$ snap take agents --tag tuesday", signal.SIGINT),
            ("$ snap status", signal.SIGHUP),
        ]
        * IS_SOAK,
    ],
)
def test_an_interrupted_demo_leaves_nothing(temporary: Path, moment: str, number: signal.Signals) -> None:
    demo = start(temporary)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith(moment):
            break
    demo.send_signal(number)
    _, complaints = demo.communicate(timeout=LONGEST_SECONDS)
    assert demo.returncode == 128 + number, complaints
    assert "Traceback" not in complaints
    assert_nothing_is_left(temporary)


def test_a_demo_interrupted_while_its_server_starts_leaves_nothing(temporary: Path) -> None:
    demo = start(temporary)
    while not list(temporary.glob("snap-pg-*")):
        assert demo.poll() is None
        time.sleep(0.005)
    demo.send_signal(signal.SIGINT)
    _, complaints = demo.communicate(timeout=LONGEST_SECONDS)
    assert demo.returncode == 130, complaints
    assert_nothing_is_left(temporary)


def test_a_killed_demo_leaves_no_process(temporary: Path) -> None:
    demo = start(temporary)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("$ snap take"):
            break
    demo.kill()
    demo.communicate(timeout=LONGEST_SECONDS)
    end = time.monotonic() + NOT_LEFT_SECONDS
    while left := list(temporary.glob("snap-pg-*")):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_a_kept_demo_can_be_played_with_and_then_ended(temporary: Path) -> None:
    demo = start(temporary, "--keep")
    told, complaints = demo.communicate(timeout=LONGEST_SECONDS)
    assert demo.returncode == 0, complaints
    advice = told.partition("yours to play with:")[2]
    (folder,) = re.findall(r"^  cd (\S+)$", advice, re.MULTILINE)
    (ending,) = re.findall(r"^  (kill .*)$", advice, re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE / 'cli'}"}
    commands = re.findall(r"^  snap ([^#\n]*\S) +#", advice, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = [sys.executable, "-m", "snap_cli", *command.split()]
        done = subprocess.run(words, check=False, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    subprocess.run(["sh", "-c", ending], check=True)
    assert_nothing_is_left(temporary)


def test_a_folder_with_other_things_is_refused(temporary: Path) -> None:
    (temporary / "thesis").write_text("years of work", encoding="utf-8")
    demo = start(temporary, "--folder", str(temporary))
    _, complaints = demo.communicate(timeout=LONGEST_SECONDS)
    assert demo.returncode == 2
    assert "is not empty" in complaints
    assert [path.name for path in temporary.iterdir()] == ["thesis"]


def test_a_command_that_fails_fails_the_demo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with stage_in(tmp_path, cli) as stage:
        with pytest.raises(Failed, match="`snap list` ended with exit code 10"):
            stage.snap("list")
        with pytest.raises(Failed, match="there is no repository"):
            stage.ask("list")
    assert "there is no repository" in capfd.readouterr().err


def test_a_claim_that_does_not_hold_fails_the_demo(tmp_path: Path) -> None:
    with stage_in(tmp_path, cli) as stage, pytest.raises(Failed, match="this is not so: water runs uphill"):
        stage.check("water runs uphill", False)
