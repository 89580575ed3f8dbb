"""What comes with an extra, and what is said where it is not installed.

    with Extra("sqlite", "SQLite needs"):
        from snapstore.sources.sqlite.source import SqliteSource

It imports nothing itself.
"""

from __future__ import annotations

from types import TracebackType

from snapstore.errors import Unsupported

__all__ = ["Extra"]


class Extra:
    """Imports beneath it need the extra of this name. Raises `Unsupported` saying how it is installed."""

    def __init__(self, name: str, needs: str) -> None:
        self._name = name
        self._needs = needs

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ImportError):
            raise Unsupported(
                f"{self._needs} a library that is not installed: {error.name}",
                hint=f"Install it with: pip install 'snapstore[{self._name}]'",
            ) from error
