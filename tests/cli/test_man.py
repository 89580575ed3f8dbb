"""Manual pages: one for each command, with all its options, in roff that says what was written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from snap_cli.main import cli
from snap_cli.man import page
from tests.cli.command import Snap


def test_there_is_a_page_for_every_command_with_all_its_options(folder: Path) -> None:
    Snap(folder)("man", "-o", "pages")
    for name, command in cli.commands.items():
        text = (folder / "pages" / f"snap-{name}.1").read_text(encoding="utf-8")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert all(option.replace("-", "\\-") in text for option in parameter.opts), f"{name}: {parameter.name}"
    assert {"snap.1", "snap-tag-add.1"} <= {one.name for one in (folder / "pages").iterdir()}


def test_roff_obeys_nothing_of_what_is_said() -> None:
    told = page(
        "snap odd", click.Command("odd", help=".so /etc/passwd\n\n'quoted' and a\\b", epilog="\b\nExample:\n  .x")
    )
    assert "\n\\&.so /etc/passwd\n" in told
    assert "\n\\&'quoted' and a\\eb\n" in told


def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").touch()
    assert "file" in Snap(folder).error("man", "-o", "file", code=1)["message"]


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_finds_nothing_wrong(folder: Path) -> None:
    Snap(folder)("man", "-o", "pages")
    pages = sorted(str(one) for one in (folder / "pages").iterdir())
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True, check=False
    )
    # A page says when the program changed by its version, not by a date.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
