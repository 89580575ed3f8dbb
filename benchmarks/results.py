"""What a run found, every sample of it, as JSON: small, committed, and the only thing the report is made from.

    {"format": 1, "date": "2026-01-31T02:00:00Z", "machine": {…}, "versions": {…}, "rows": {…}, "repeats": 3,
     "samples": [{"what": "wide take", "round": 0, "seconds": 3.1, "cpu_seconds": 4.0, "peak_bytes": 190000000, …}, …]}

No names of hosts, people or folders.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from snapstore.repository.repository import PROGRAM

__all__ = ["FOLDER", "Results", "Sample", "machine", "newest", "read", "versions", "write"]

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Sample:
    """One process that was measured. `facts` are what it or the benchmark says about it: bytes stored, rows, blobs."""

    what: str
    round: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Results:
    """One run: where, with what, on how many rows (by database), and every sample in order of time.

    `absent` are peers that were not installed.
    """

    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    rows: dict[str, int]
    repeats: int
    samples: tuple[Sample, ...]
    absent: tuple[str, ...] = ()


def machine() -> dict[str, Any]:
    """What the numbers depend on, and nothing that names anybody."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of Python and what the library stands on; the server adds its own."""
    found = {"snapstore": PROGRAM.partition(" ")[2], "python": platform.python_version()}
    for name in ("psycopg", "numpy", "blake3", "zstandard"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def write(results: Results, folder: Path = FOLDER) -> Path:
    """Keep a run under its date."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.date.replace(':', '')}.json"
    whole = {"format": 1, **asdict(results)}
    samples = whole.pop("samples")
    # A line a sample, so that a difference between runs can be read.
    head = json.dumps(whole, indent=1)[:-2]
    lines = ",\n  ".join(json.dumps(sample) for sample in samples)
    path.write_text(f'{head},\n "samples": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    return path


def read(path: Path) -> Results:
    """A run that was kept."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    if whole.pop("format") != 1:
        raise ValueError(f"{path.name} is of another format")
    samples = tuple(Sample(**sample) for sample in whole.pop("samples"))
    return Results(**{**whole, "absent": tuple(whole.get("absent", ()))}, samples=samples)


def newest(folder: Path = FOLDER) -> Results:
    """The last run that was kept."""
    found = [read(path) for path in folder.glob("*.json")]
    return max(found, key=lambda results: results.date)


def now() -> str:
    """The date of a run."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
