"""Columns that are kept in snapshots and never compared: those that snap.toml names, and `--ignore-column`.

    ignored = ignored_by(app, ["agents"], ("memories.seen",), all_columns=False)    # {"agents": (…)}
    check_ignored(flags, state.tables)

What a difference in them means for a diff or a restore, operations know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from snap_cli.context import App
from snap_cli.render import clean
from snapstore.errors import Invalid
from snapstore.operations.state import StateTable, means_column

__all__ = ["check_ignored", "ignore_options", "ignored_by", "tell_ignored"]

Function = TypeVar("Function", bound=Callable[..., Any])


def ignore_options(function: Function) -> Function:
    """The options of commands that compare."""
    for decorate in (
        click.option("--all-columns", is_flag=True, help="Compare the columns that snap.toml ignores, too."),
        click.option(
            "--ignore-column",
            "ignore_columns",
            multiple=True,
            metavar="TABLE.COLUMN",
            help="A difference in this column is none [ignore-columns in snap.toml].",
        ),
    ):
        function = decorate(function)
    return function


def ignored_by(
    app: App, sources: Iterable[str], columns: Sequence[str], *, all_columns: bool
) -> dict[str, tuple[str, ...]]:
    """The patterns for each of these sources: snap.toml's and those of the command line."""
    if all_columns and columns:
        raise Invalid("--all-columns and --ignore-column contradict each other", hint="Choose one of them.")
    if all_columns:
        return {}
    known = app.settings.sources
    return {name: (*(known[name].ignored if name in known else ()), *columns) for name in sources}


def check_ignored(columns: Sequence[str], tables: Sequence[StateTable]) -> None:
    """Raise `Invalid` for a pattern of the command line that means no column which could be ignored."""
    for pattern in columns:
        meant = [
            table
            for table in tables
            if any(means_column(pattern, table.name, column.name) for column in table.table.columns)
        ]
        if not meant:
            raise Invalid(
                f"--ignore-column {clean(pattern)!r} means no column here",
                hint="Write TABLE.COLUMN; a key always counts.",
            )
        if all(table.table.by_content for table in meant):
            raise Invalid(f"{meant[0].name} has no key: its rows are known by all that is in them")


def tell_ignored(named: Iterable[tuple[str, Sequence[str]]]) -> str:
    """In words, which columns of these tables were not compared; empty if all were."""
    found = [f"{table}.{column}" for table, columns in named for column in columns]
    return f"not compared: {clean(', '.join(dict.fromkeys(found)))}" if found else ""
