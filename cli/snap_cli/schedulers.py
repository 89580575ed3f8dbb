"""What starts a program at its time on this machine: crontab, systemd's timers, launchd.

    scheduler = choose(None, home)
    scheduler.install(Job("snapstore-1f2e3d4c", Timetable.daily("02:00"), ["/usr/bin/python3", "-m", "snap_cli", …]))

Each knows a job by its name: installing it again replaces it, and other people's entries are never touched.
"""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snap_cli.timetable import Timetable
from snapstore.errors import Invalid, SnapstoreError, Unavailable, Unsupported

if sys.platform != "win32":
    import pwd

__all__ = ["KINDS", "Job", "Scheduler", "choose", "installed", "windows_instruction"]

KINDS = ("cron", "systemd", "launchd")
_BEGIN, _END = "# begin {name} (written by `snap schedule`; change it there)", "# end {name}"
_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, and when; the words hold absolute paths and no secrets."""

    name: str
    times: Timetable
    words: Sequence[str]


class Scheduler(Protocol):
    """One of them, for this user."""

    kind: str

    def install(self, job: Job) -> str:
        """Make it so, in place of an earlier job of this name; says in words where it stands."""

    def remove(self, name: str) -> bool:
        """Take it away; whether it was there."""

    def find(self, name: str) -> str:
        """Where the job of this name stands, in words; empty if nowhere."""

    def caveat(self) -> str:
        """Why a job that is installed may not run at its time, in words; empty if nothing is known to keep it."""


class Cron:
    """Entries in the user's crontab, each between two lines that say whose they are."""

    kind = "cron"

    def install(self, job: Job) -> str:
        """As `Scheduler.install`."""
        # In a crontab % ends the command.
        command = shlex.join(job.words).replace("%", "\\%")
        entry = [_BEGIN.format(name=job.name), f"{job.times.text} {command}", _END.format(name=job.name)]
        others, _ = self._without(job.name)
        self._write([*others, *entry])
        return "your crontab"

    def remove(self, name: str) -> bool:
        """As `Scheduler.remove`."""
        others, own = self._without(name)
        if own:
            self._write(others)
        return bool(own)

    def find(self, name: str) -> str:
        """As `Scheduler.find`."""
        return "your crontab" if self._without(name)[1] else ""

    def caveat(self) -> str:
        """As `Scheduler.caveat`."""
        return ""

    def _without(self, name: str) -> tuple[list[str], list[str]]:
        """The lines of others, and our own. Raises `Invalid` where our marks do not fit together."""
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        others: list[str] = []
        own: list[str] = []
        is_own = False
        for line in self._lines():
            if line in (begin, end):
                if (line == begin) == is_own:
                    break
                is_own = line == begin
                own.append(line)
            else:
                (own if is_own else others).append(line)
        else:
            if not is_own:
                return others, own
        raise Invalid(f"the crontab has {begin!r} without its end, or the other way round", hint="Mend it: crontab -e.")

    def _lines(self) -> list[str]:
        done = _run(["crontab", "-l"])
        if done.returncode and "no crontab" in done.stderr.lower():
            return []
        if done.returncode:
            raise Unavailable(f"the crontab cannot be read: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def _write(self, lines: Sequence[str]) -> None:
        done = _run(["crontab", "-"], "".join(f"{line}\n" for line in lines))
        if done.returncode:
            raise Unavailable(f"the crontab cannot be written: {done.stderr.strip()}")


class Systemd:
    """A service and a timer of the user's own systemd, in `folder`."""

    kind = "systemd"
    lingering = Path("/var/lib/systemd/linger")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, job: Job) -> str:
        """As `Scheduler.install`. A time that was missed while the machine was off is made up for."""
        timer = self._folder / f"{job.name}.timer"
        service = timer.with_suffix(".service")
        is_new = not timer.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        words = " ".join(map(_systemd_quoted, job.words))
        calendars = "".join(f"OnCalendar={one}\n" for one in job.times.calendars)
        service.write_text(
            f"[Unit]\nDescription=Snapshots of memory ({job.name})\n\n[Service]\nType=oneshot\nExecStart={words}\n",
            encoding="utf-8",
        )
        timer.write_text(
            f"[Unit]\nDescription=Snapshots of memory ({job.name})\n\n"
            f"[Timer]\n{calendars}Persistent=true\n\n[Install]\nWantedBy=timers.target\n",
            encoding="utf-8",
        )
        try:
            self._control("daemon-reload")
            self._control("enable", "--now", timer.name)
        except SnapstoreError:
            # Units that nothing starts would be taken for a job.
            for path in (timer, service) if is_new else ():
                path.unlink()
            raise
        return str(timer)

    def caveat(self) -> str:
        """As `Scheduler.caveat`: a user's systemd ends with the user's last session, unless it is told to linger."""
        if sys.platform == "win32":
            return ""
        else:
            user = pwd.getpwuid(os.getuid()).pw_name
            if (self.lingering / user).exists():
                return ""
            return (
                "the timer runs only while you are logged in, and makes up for what it missed when you are; "
                f"`loginctl enable-linger {user}` has it run always"
            )

    def remove(self, name: str) -> bool:
        """As `Scheduler.remove`."""
        timer = self._folder / f"{name}.timer"
        if not timer.exists():
            return False
        self._control("disable", "--now", f"{name}.timer")
        timer.unlink()
        (self._folder / f"{name}.service").unlink(missing_ok=True)
        self._control("daemon-reload")
        return True

    def find(self, name: str) -> str:
        """As `Scheduler.find`."""
        timer = self._folder / f"{name}.timer"
        return str(timer) if timer.exists() else ""

    def _control(self, *words: str) -> None:
        done = _run(["systemctl", "--user", *words])
        if done.returncode:
            raise Unavailable(
                f"`systemctl --user {' '.join(words)}` failed: {done.stderr.strip()}",
                hint="Without a user session of systemd use --with cron.",
            )


class Launchd:
    """A property list in the user's LaunchAgents."""

    kind = "launchd"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, job: Job) -> str:
        """As `Scheduler.install`."""
        path = self._path(job.name)
        document = {
            "Label": job.name,
            "ProgramArguments": list(job.words),
            "StartCalendarInterval": [dict(one) for one in job.times.intervals],
            "ProcessType": "Background",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        if not is_new:
            _run(["launchctl", "unload", str(path)])
        path.write_bytes(plistlib.dumps(document))
        try:
            done = _run(["launchctl", "load", "-w", str(path)])
            if done.returncode:
                raise Unavailable(f"`launchctl load` failed: {done.stderr.strip()}")
        except SnapstoreError:
            if is_new:
                path.unlink()
            raise
        return str(path)

    def caveat(self) -> str:
        """As `Scheduler.caveat`."""
        return ""

    def remove(self, name: str) -> bool:
        """As `Scheduler.remove`."""
        path = self._path(name)
        if not path.exists():
            return False
        _run(["launchctl", "unload", "-w", str(path)])
        path.unlink()
        return True

    def find(self, name: str) -> str:
        """As `Scheduler.find`."""
        path = self._path(name)
        return str(path) if path.exists() else ""

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.plist"


def choose(kind: str | None, home: Path, units: Path) -> Scheduler:
    """The scheduler of this kind, or the one that this machine has. `units` is where a user's units of systemd are.

    Raises `Unsupported` where there is none.
    """
    if kind is None:
        kind = _usual()
    if kind == "launchd":
        return Launchd(home / "Library/LaunchAgents")
    return Systemd(units) if kind == "systemd" else Cron()


def installed(name: str, home: Path, units: Path) -> tuple[Scheduler, str] | None:
    """The scheduler that has this job, and where; None if none has."""
    for kind in KINDS:
        scheduler = choose(kind, home, units)
        if kind == "cron" and shutil.which("crontab") is None:
            continue
        where = scheduler.find(name)
        if where:
            return scheduler, where
    return None


def windows_instruction(job: Job) -> str:
    """What to type on Windows, where nothing is installed by itself."""
    times, command = job.times, subprocess.list2cmdline(job.words)
    hours, minutes = sorted(times.hours), sorted(times.minutes)
    step = 60 // len(minutes)
    is_every_day = not (times.has_days or times.has_weekdays) and len(times.months) == 12
    if is_every_day and len(hours) == len(minutes) == 1:
        when = "DAILY"
    elif is_every_day and len(hours) == 24 and len(minutes) == 1:
        when = "HOURLY"
    elif is_every_day and len(hours) == 24 and minutes == list(range(minutes[0], 60, step)) and 60 % step == 0:
        when = f"MINUTE /MO {step}"
    else:
        return f"in the Task Scheduler, triggers for `{times.text}` (as in a crontab), and as the action: {command}"
    command = command.replace('"', '\\"')
    return f'schtasks /Create /F /SC {when} /ST {hours[0]:02}:{minutes[0]:02} /TN {job.name} /TR "{command}"'


def _usual() -> str:
    if sys.platform == "darwin":
        return "launchd"
    if shutil.which("systemctl") and _run(["systemctl", "--user", "show-environment"]).returncode == 0:
        return "systemd"
    if shutil.which("crontab"):
        return "cron"
    raise Unsupported(
        "neither a user session of systemd nor a crontab was found here",
        hint="Install cron, or have your scheduler run: snap schedule run",
    )


def _systemd_quoted(word: str) -> str:
    """As systemd.service(5), command lines: % and $ are doubled, and quotes are C's."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if re.search(r"[^\w@%+=:,./-]", word) or not word else text


def _run(words: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except FileNotFoundError as error:
        raise Unsupported(f"there is no {words[0]} on this machine", hint="Choose another with --with.") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{words[0]} did not answer within {_SECONDS} seconds") from error
