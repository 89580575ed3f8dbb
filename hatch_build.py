"""What a wheel has that is not in the tree: the manual pages, made from the commands as it is built.

`snap man` of this very source makes them, so the build needs what the program needs. An editable install has none:
its commands change beneath it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MAN = "share/man/man1"
"""Beside the `bin` that has the commands: where man(1) looks for the pages of what is on the PATH."""


class ManPages(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is not for those who use it
    """Makes them for a wheel."""

    _folder = ""

    def dependencies(self) -> list[str]:
        """What the program needs to say its own help."""
        return list(self.metadata.core.dependencies)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages, and have each put where man(1) looks."""
        if version == "editable":
            return
        root = Path(self.root)
        self._folder = tempfile.mkdtemp(prefix="snap-man-")
        # An isolated build has its own packages on this path.
        path = [str(root), str(root / "cli"), *filter(None, [os.environ.get("PYTHONPATH")])]
        subprocess.run(
            [sys.executable, "-m", "snap_cli", "-q", "man", "-o", self._folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)}, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        for page in sorted(Path(self._folder).iterdir()):
            build_data["shared_data"][str(page)] = f"{MAN}/{page.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Nothing of it stays here."""
        if self._folder:
            shutil.rmtree(self._folder)
