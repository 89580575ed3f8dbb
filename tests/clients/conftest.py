"""The fixtures of the command line's tests: a folder with a repository."""

from __future__ import annotations

from tests.cli.conftest import folder, snap

__all__ = ["folder", "snap"]
