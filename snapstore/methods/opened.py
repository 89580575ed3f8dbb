"""A repository that is open, and its snapshots by name: what all methods of `snapstore.Snapstore` stand on.

    Opened(repository).snapshot("latest~2")

Methods resolve names and call one operation each; they know neither snap.toml nor the environment.
"""

from __future__ import annotations

from collections.abc import Sequence

from snapstore.repository import Repository, Snapshot
from snapstore.repository.resolve import resolve, resolve_all

__all__ = ["Opened"]


class Opened:
    """An open repository. `repository` is what the operations take."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def snapshots(self) -> list[Snapshot]:
        """All snapshots, oldest first, safety snapshots too."""
        return self.repository.snapshots()

    def snapshot(self, name: str = "latest") -> Snapshot:
        """The snapshot of this name. Raises `NotFound` for none, `Invalid` for several."""
        return resolve(self.snapshots(), name)

    def _named(self, names: Sequence[str]) -> list[Snapshot]:
        """Each of these once."""
        return resolve_all(self.snapshots(), names) if names else []
