"""What `pip install` gets: every module, the licences, the marks and the sample, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

HERE = Path(__file__).parent.parent


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=HERE, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        names = {name for name in held.namelist() if ".dist-info/" not in name}
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
    assert {"licenses/LICENSE", "licenses/cli/snap_cli/sample/LICENSE-PSF.txt"} <= set(about)
    assert "snap = snap_cli.main:main" in entries
    assert "snapstore = snap_cli.main:main" in entries
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"all", "cloud", "encryption", "files", "qdrant", "sqlite"} <= set(metadata.get_all("Provides-Extra", []))
