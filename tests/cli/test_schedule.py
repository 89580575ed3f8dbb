"""`snap schedule`: jobs come and go without touching others, and what they run leaves a log and a note.

crontab and systemctl are stood in for by programs that keep what they are told in files: which of them a machine has,
and whether they may be used, is not ours to say.
"""

from __future__ import annotations

import fcntl
import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest

from snap_cli.runs import Runs
from snap_cli.schedulers import Job, Launchd
from snap_cli.timetable import Timetable
from tests.cli.command import Snap, run

CRONTAB = """#!/bin/sh
if [ "$1" = -l ]; then [ -f "$TABLE" ] && exec cat "$TABLE"; echo "no crontab for me" >&2; exit 1; fi
cat > "$TABLE"
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$TABLE.systemctl"
[ "$2" != show-environment ] || [ -n "$HAS_SYSTEMD" ] || exit 1
[ "$2" != enable ] || [ "$HAS_SYSTEMD" != broken ] || { echo "Failed to connect to bus" >&2; exit 1; }
"""
MINE = "MAILTO=me\n# a note\n0 5 * * * backup --all 50%\n"


@pytest.fixture
def table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the crontab has; an entry of somebody else's to begin with."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (("crontab", CRONTAB), ("systemctl", SYSTEMCTL), ("launchctl", "#!/bin/sh\n")):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    table = folder / "table"
    table.write_text(MINE, encoding="utf-8")
    for name, value in (
        ("PATH", f"{programs}:{os.environ['PATH']}"), ("TABLE", str(table)), ("HOME", str(folder / "my home")),
        ("XDG_STATE_HOME", ""), ("XDG_CONFIG_HOME", ""), ("HAS_SYSTEMD", ""), ("PYTHONPATH", os.pathsep.join(sys.path)),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return table


@pytest.fixture
def named(snap: Snap, url: str) -> Snap:
    (snap.folder / "snap.toml").write_text(f"[sources.agents]\nurl = '{url}'\n", encoding="utf-8")
    return snap


def test_an_entry_is_made_changed_and_removed_and_others_stay(named: Snap, table: Path) -> None:
    result = named("schedule", "install", "--daily", "02:30")
    assert "your crontab" in result.stdout
    text = table.read_text(encoding="utf-8")
    assert text.startswith(MINE)
    assert text.count("# begin snapstore-") == 1
    assert f"30 2 * * * {sys.executable} -m snap_cli -r " in text
    named("schedule", "install", "--cron", "*/5 * * * *")
    text = table.read_text(encoding="utf-8")
    assert text.count("# begin snapstore-") == 1
    assert "\n*/5 * * * * " in text
    assert named.json("schedule", "status")["scheduler"] == "cron"
    named("schedule", "remove")
    assert table.read_text(encoding="utf-8") == MINE
    named("schedule", "remove", code=1)
    assert "job: none" in named("schedule", "status", code=1).stdout


def test_what_cron_runs_takes_a_snapshot_and_says_so_later(named: Snap, table: Path, url: str) -> None:
    named("schedule", "install", "--daily", "02:30")
    entry = next(line for line in table.read_text(encoding="utf-8").splitlines() if "snap_cli" in line)
    command = entry.split(" ", 5)[5].replace("\\%", "%")
    done = subprocess.run(["sh", "-c", command], cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (held,) = named.json("list")
    status = named.json("schedule", "status")
    assert status["last"]["snapshot"] == held["snapshot"]
    assert status["next"].endswith("02:30:00")
    assert held["snapshot"] in Path(status["log"]).read_text(encoding="utf-8")
    name = url.partition("@/")[2].partition("?")[0]
    others = url.replace(f"/{name}?", "/postgres?")
    run(others, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        failed = subprocess.run(["sh", "-c", command], cwd="/", capture_output=True, text=True, check=False)
    finally:
        run(others, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert failed.returncode != 0
    told = named("schedule", "status", code=1).stdout
    assert "exit code 1: postgresql:" in told


def test_a_run_beside_another_is_left_out(named: Snap, table: Path) -> None:
    named("schedule", "run")
    folder = Path(named.json("schedule", "status", code=1)["log"]).parent
    with (folder / "lock").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "still goes on" in named("schedule", "run", code=1).stderr
    named("schedule", "run")
    assert len(named.json("list")) == 2


def test_logs_are_rotated(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "job")
    program = [sys.executable, "-c", "print('x' * 600_000)"]
    for _ in range(14):
        runs.run([["take"]], program, tmp_path)
    logs = sorted(path.name for path in (tmp_path / "job").iterdir() if path.name.startswith("log"))
    assert logs == ["log", "log.1", "log.2", "log.3", "log.4", "log.5"]
    assert sum((tmp_path / "job" / name).stat().st_size for name in logs) < 10_000_000


def test_units_of_systemd_are_written_and_enabled(named: Snap, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAS_SYSTEMD", "yes")
    told = named.json("schedule", "install", "--cron", "0 3 13 * fri")
    assert told["scheduler"] == "systemd"
    timer = Path(told["where"])
    text = timer.read_text(encoding="utf-8")
    assert text.count("OnCalendar=") == 2
    assert "Persistent=true" in text
    assert "ExecStart=" in timer.with_suffix(".service").read_text(encoding="utf-8")
    # A user's systemd ends with the last session of the user.
    assert "loginctl enable-linger" in named("schedule", "install", "--cron", "0 3 13 * fri").stderr
    assert f"enable --now {told['job']}.timer" in table.with_suffix(".systemctl").read_text(encoding="utf-8")
    named("schedule", "install", "--daily", "04:00", "--with", "cron")
    assert not timer.exists()
    assert "# begin" in table.read_text(encoding="utf-8")


def test_what_a_scheduler_refused_is_not_taken_for_a_job(
    named: Snap, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAS_SYSTEMD", "broken")
    result = named("schedule", "install", "--daily", "02:00", code=1)
    assert "Failed to connect to bus" in result.stderr
    assert "--with cron" in result.stderr
    assert "job: none" in named("schedule", "status", code=1).stdout
    (table.parent / "bin/launchctl").write_text("#!/bin/sh\necho refused >&2; exit 5\n", encoding="utf-8")
    assert "refused" in named("schedule", "install", "--daily", "02:00", "--with", "launchd", code=1).stderr
    assert "job: none" in named("schedule", "status", code=1).stdout


def test_launchd_gets_a_property_list(table: Path, tmp_path: Path) -> None:
    agents = Launchd(tmp_path / "agents")
    job = Job("snapstore-1", Timetable.parse("0 3 * * 1,3"), ["/usr/bin/python3", "-m", "snap_cli", "a b"])
    path = Path(agents.install(job))
    document = plistlib.loads(path.read_bytes())
    assert document["ProgramArguments"] == list(job.words)
    assert document["StartCalendarInterval"] == [{"Minute": 0, "Hour": 3, "Weekday": day} for day in (1, 3)]
    assert agents.find("snapstore-1") == str(path)
    assert agents.remove("snapstore-1")
    assert not agents.remove("snapstore-1")


def test_a_job_that_could_not_work_is_not_installed(snap: Snap, url: str, table: Path, folder: Path) -> None:
    assert "[sources.agents]" in snap("schedule", "install", "--daily", "02:00", code=2).stderr
    assert "It is 0 to 59" in snap("schedule", "install", "--cron", "61 * * * *", url, code=2).stderr
    assert "say when" in snap("schedule", "install", url, code=2).stderr
    secret = url.replace("postgres@", "postgres:geheim@")
    result = snap("schedule", "install", "--daily", "02:00", secret, code=2)
    assert "password" in result.stderr
    assert "geheim" not in result.stderr
    refused = snap("schedule", "install", "--daily", "02:00", url, env={"SNAP_PASSPHRASE": "x"}, code=2)
    assert "SNAP_PASSPHRASE will not be set" in refused.stderr
    snap("-r", "elsewhere", "schedule", "install", "--daily", "02:00", url, code=10)
    assert table.read_text(encoding="utf-8") == MINE


def test_a_file_may_be_named_in_any_way(named: Snap) -> None:
    assert (
        "sqlite://./agents.db"
        in named("schedule", "install", "--daily", "02:00", "--print", "sqlite://./agents.db").stdout
    )


def test_a_crontab_whose_marks_do_not_fit_is_left_alone(named: Snap, table: Path) -> None:
    named("schedule", "install", "--daily", "02:30")
    broken = table.read_text(encoding="utf-8").rpartition("# end")[0]
    table.write_text(broken, encoding="utf-8")
    assert "crontab -e" in named("schedule", "install", "--daily", "03:30", code=2).stderr
    assert table.read_text(encoding="utf-8") == broken


def test_what_would_be_run_can_be_seen(named: Snap, table: Path) -> None:
    told = named("schedule", "install", "--daily", "02:05", "--print").stdout
    assert "schtasks /Create /F /SC DAILY /ST 02:05" in told
    for times, when in (
        ("*/15 * * * *", "/SC MINUTE /MO 15 /ST 00:00"),
        ("7 * * * *", "/SC HOURLY /ST 00:07"),
        ("0 2 * * 1-5", "triggers for `0 2 * * 1-5`"),
        ("0,50 * * * *", "triggers for `0,50 * * * *`"),
        ("0 2,14 * * *", "triggers for `0 2,14 * * *`"),
    ):
        assert when in named("schedule", "install", "--cron", times, "--print").stdout
    assert table.read_text(encoding="utf-8") == MINE
    assert json.loads(named("schedule", "status", "--json", code=1).stdout)["job"] is None
