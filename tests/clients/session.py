"""What every test of a client does: a memory is made by the client, taken, wrecked, restored, and asked again.

    client = Client("chroma", (str(folder),))
    client.run("seed")
    held = Held(snap, client, [f"file://{folder}"])     # takes, and remembers what the client answers
    client.run("wreck")
    held.comes_back()                                   # restores; the answers are the same

Each step of a client is a process of its own (`tests.clients.drivers`), so that none of its caches outlives a restore.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cli.command import Snap, environment

# No client calls home, or looks for a model; txtai runs the function that gives vectors.
_QUIET = {
    "ANONYMIZED_TELEMETRY": "False", "MEM0_TELEMETRY": "False", "AGNO_TELEMETRY": "false", "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false", "LANCEDB_TELEMETRY": "off", "OPENAI_API_KEY": "none",
    "ALLOW_RESOLVE_TRANSFORM": "True",
}  # fmt: skip


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skips where a client is not installed."""
    absent = [name for name in modules if not _is_installed(name)]
    told = f"not installed: {', '.join(absent)} (pip install -r tests/clients/requirements.txt)"
    return pytest.mark.skipif(bool(absent), reason=told)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # not even what it would be in
        return False


@dataclass(frozen=True)
class Client:
    """A driver, and the places that its functions are given. Numbers in answers count to so many decimal `digits`."""

    driver: str
    places: tuple[str, ...]
    digits: int = 20

    def run(self, deed: str) -> Any:
        """What one function of the driver answers, in a new process."""
        command = [sys.executable, "-W", "ignore", "-m", "tests.clients.drivers", self.driver, deed, *self.places]
        quiet = environment(**_QUIET, MEM0_DIR=os.path.join(os.getcwd(), "mem0"))
        done = subprocess.run(command, env=quiet, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{self.driver} {deed}\n{done.stdout[-2000:]}{done.stderr[-6000:]}"
        answer = done.stdout.strip().splitlines()[-1]
        return json.loads(answer, parse_float=lambda text: round(float(text), self.digits))


@dataclass
class Held:
    """A snapshot of some sources, and what the client answered then."""

    snap: Snap
    client: Client
    sources: list[str]

    def __post_init__(self) -> None:
        self.client.run("ask")  # the first reading may write: tables that are made lazily, times of reading
        self.answers = self.client.run("ask")
        self.id = self.snap.json("take", *self.sources)["snapshot"]

    def is_there(self) -> bool:
        """Whether the client answers as it did when the snapshot was taken."""
        return bool(self.client.run("ask") == self.answers)

    def comes_back(self) -> None:
        """Restore; the client answers as before."""
        self.snap("restore", self.id, "--exact", "--yes")
        answers = self.client.run("ask")
        assert answers == self.answers
