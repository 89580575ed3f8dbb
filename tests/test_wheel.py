"""What `pip install` gets: every module, the licences, the marks, the sample and manual pages, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import click

from snap_cli.main import cli

HERE = Path(__file__).parent.parent


def pages(name: str, command: click.Command) -> list[str]:
    """Of a command and all beneath it."""
    below = command.commands if isinstance(command, click.Group) else {}
    return [name, *(page for word, own in below.items() for page in pages(f"{name}-{word}", own))]


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=HERE, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        shared = {name.partition(".data/data/")[2] for name in held.namelist() if ".data/data/" in name}
        names = {name for name in held.namelist() if ".dist-info/" not in name and ".data/data/" not in name}
        about = {name.partition(".dist-info/")[2]: name for name in held.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(held.read(about["METADATA"]).decode())
        entries = held.read(about["entry_points.txt"]).decode()
    expected = {
        path.relative_to(root).as_posix()
        for root, package in ((HERE, "snapstore"), (HERE / "cli", "snap_cli"))
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"snapstore/py.typed", "snap_cli/sample/memories.jsonl"} <= names
    # man(1) looks there, beside the folder of the commands.
    assert shared == {f"share/man/man1/{name}.1" for name in pages("snap", cli)}
    assert {"licenses/LICENSE", "licenses/cli/snap_cli/sample/LICENSE-PSF.txt"} <= set(about)
    assert "snap = snap_cli.main:main" in entries
    assert "snapstore = snap_cli.main:main" in entries
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"all", "cloud", "encryption", "files", "qdrant", "sqlite"} <= set(metadata.get_all("Provides-Extra", []))
