"""Memories chosen by what they are: the options of `snap take` that speak of roles, and the conditions they become.

    wanted = wanted_of({"owner": ("ann",), "min_heat": 0.5, …})
    selection = narrowed(named, source, "public", selection, wanted)

Which column is the owner or the heat, snap.toml says; a role that nobody plays is refused, never passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from snap_cli.settings import NamedSource
from snap_cli.sources import qualified
from snapstore.errors import Invalid, Unsupported
from snapstore.sources import Selection, Source
from snapstore.sources.roles import Filters, Wanted

__all__ = ["narrowed", "wanted_of", "wanted_options"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """A day or a moment; UTC where no zone is written."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a time; write 2026-01-31 or 2026-01-31T02:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_OPTIONS = (
    click.option("--only-type", "types", multiple=True, metavar="TYPE", help="Only memories of this type (of these)."),
    click.option("--owner", "owners", multiple=True, metavar="ID", help="... of this owner (of these)."),
    click.option("--only-tag", "memory_tags", multiple=True, metavar="TAG", help="... with this tag (one of these)."),
    click.option("--min-heat", type=float, metavar="N", help="... with at least this heat."),
    click.option("--created-after", callback=_moment, metavar="TIME", help="... created then or later."),
    click.option("--created-before", callback=_moment, metavar="TIME", help="... created before then."),
    click.option("--no-archived", is_flag=True, help="... that are not archived. All these need roles in snap.toml."),
)


def wanted_options(function: Function) -> Function:
    """The options that choose memories by their roles."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


def wanted_of(options: Mapping[str, Any]) -> Wanted:
    """What these options ask for."""
    return Wanted(
        types=options["types"],
        min_heat=options["min_heat"],
        owners=options["owners"],
        tags=options["memory_tags"],
        created_after=options["created_after"],
        created_before=options["created_before"],
        archived=not options["no_archived"],
    )


def narrowed(named: NamedSource, source: Source, schema: str, selection: Selection, wanted: Wanted) -> Selection:
    """The selection with the condition that means these memories. Raises `Invalid` where roles are not said."""
    if wanted.is_all:
        return selection
    if not named.roles.memory:
        raise Invalid(
            f"nobody says which table of {named.name} has the memories, and what its columns are to them",
            hint=f'Say it in snap.toml: [sources.{named.name}.roles] with `memory = "TABLE"`, `owner = "COLUMN"` …',
        )
    if not isinstance(source, Filters):
        raise Unsupported(f"memories in {source.kind} cannot be chosen by their roles")
    table, own = qualified(named.roles.memory, schema), source.condition(named.roles, wanted)
    before = selection.where.get(table)
    condition = own if before is None else f"({before}\n) AND ({own})"
    words = [*wanted.words(), *([] if before is None else [f"where {before}"])]
    return replace(
        selection, where={**selection.where, table: condition}, filter=(f"{table}: only {'; '.join(words)}",)
    )
