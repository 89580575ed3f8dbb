"""`snap take`: take a snapshot of one or more sources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from snap_cli.announcing import Announced
from snap_cli.completing import source_names
from snap_cli.context import App, command
from snap_cli.errors import INCOMPLETE
from snap_cli.linking import links_json, links_of, tell_links
from snap_cli.manifests import changes, rows_in, tell_missing, tell_moved, tell_narrowed
from snap_cli.render import amount, clean, columns, count, moment, paint, plural, seconds
from snap_cli.settings import NamedSource
from snap_cli.sizes import SIZE
from snap_cli.sources import chosen_sources, open_source, qualified, qualified_column, selection_of_named, url_of
from snap_cli.typed import command_line
from snap_cli.wanted import narrowed, wanted_of, wanted_options
from snapstore.errors import Invalid
from snapstore.operations.take import Request, Taken, take
from snapstore.sources import Selection
from snapstore.sources.opening import schema_of

__all__ = ["MIN_FREE_BYTES", "selection_from", "take_command"]

MIN_FREE_BYTES = 500_000_000
"""Free space in a repository's folder without which a take does not begin, if nobody says otherwise."""


@command(
    "take",
    example="snap take postgresql://me@localhost/agents --tag before-migration\n"
    "snap take postgresql://me@localhost/agents --table 'mem*' --exclude-column memories.embedding\n"
    "snap take sqlite:///home/me/agents.db qdrant://localhost:6333/memories\n"
    "snap take ~/.claude --ignore '*.bak'\n"
    "snap take agents        # [sources.agents] in snap.toml",
    cls=Announced,
)
@click.argument("sources", nargs=-1, metavar="[URL|NAME|GROUP]...", shell_complete=source_names)
@click.option("--name", help="What the source is called in snapshots [the database's or file's name].")
@click.option("--tag", "tags", multiple=True, help="A name for the snapshot; may be given several times.")
@click.option("--description", default="", help="Words about it.")
@click.option("--table", "tables", multiple=True, metavar="PATTERN", help="Only these tables (* and ? fit anything).")
@click.option("--exclude", "--exclude-table", "exclude", multiple=True, metavar="PATTERN", help="Not these tables.")
@click.option("--exclude-column", "exclude_columns", multiple=True, metavar="TABLE.COLUMN", help="Not this column.")
@click.option(
    "--where",
    multiple=True,
    metavar="TABLE=SQL",
    help="Only the rows of a table that meet a condition (of a folder: a pattern of paths).",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Of a folder only these files (as in .gitignore).")
@click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Of a folder not these files (as in .gitignore; `!*.log` takes in what is left out by itself).",
)
@click.option("--xattrs", is_flag=True, help="Of a folder also the extended attributes of files.")
@wanted_options
@click.option("--no-vectors", is_flag=True, help="Without vector columns.")
@click.option("--schema-only", is_flag=True, help="Only the shapes of tables, no rows.")
@click.option("--full", is_flag=True, help="Read every row, whatever the last snapshot knows.")
@click.option("--no-verify", is_flag=True, help="Do not decode and hash again what was written.")
@click.option("--allow-partial", is_flag=True, help="Save what can be held and reached; say what could not (exit 3).")
@click.option("--salvage", is_flag=True, help="Of a damaged SQLite file take what can still be read (exit 3).")
@click.option("--min-free", type=SIZE, metavar="SIZE", envvar="SNAP_MIN_FREE", default=MIN_FREE_BYTES,
              help="Do not begin with less free space in a repository's folder [SNAP_MIN_FREE, 500MB].")  # fmt: skip
@click.option("--max-size", type=SIZE, metavar="SIZE", envvar="SNAP_MAX_SIZE",
              help="Do not begin where the repository is larger already [SNAP_MAX_SIZE].")  # fmt: skip
@click.pass_context
def take_command(
    context: click.Context,
    /,
    sources: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    description: str,
    no_verify: bool,
    full: bool,
    allow_partial: bool,
    salvage: bool,
    min_free: int,
    max_size: int | None,
    **options: Any,
) -> None:
    """Take a snapshot of databases and folders: a consistent state of each, stored without what is there already.

    Without a URL: SNAP_SOURCE, else every source in snap.toml. What is less than the whole source is a filtered
    snapshot: it says so, and a restore of it leaves alone what it does not hold.
    """
    app: App = context.obj
    wanted = wanted_of(options)
    repository = app.repository()
    named = chosen_sources(app, sources)
    if name is not None and len(named) > 1:
        raise Invalid("--name is for one source, and several are taken", hint="Give them names in snap.toml.")
    requests = []
    for own in named:
        url = url_of(app, own)
        source, schema = open_source(app, url), schema_of(url)
        selection = selection_from(own, schema, allow_partial=allow_partial, **options)
        requests.append(Request(name or own.name, source, narrowed(own, source, schema, selection, wanted)))
    if all(one.source.kind != "file" and _chooses_files(one.selection) for one in requests):
        raise Invalid("--only, --ignore and --xattrs are for folders alone", hint="Take one: `snap take ./memory`.")
    requests = [one if one.source.kind == "file" else _without_files(one) for one in requests]
    if salvage:
        if any(one.source.kind != "sqlite" for one in requests):
            raise Invalid("--salvage is for SQLite files alone", hint="Take the others by themselves, without it.")
        requests = [replace(one, selection=replace(one.selection, salvage=True, partial=True)) for one in requests]
    with app.progress() as progress:
        taken = take(
            repository,
            requests,
            tags=tags,
            description=description,
            host=app.host,
            verify=not no_verify,
            full=full,
            min_free_bytes=min_free,
            max_bytes=max_size,
            progress=progress,
        )
    for one in taken.later:
        app.warn(
            f"the snapshot {one.id[:8]} is dated {moment(one.time)} UTC, after this one "
            f"({moment(taken.snapshot.time)}): a clock is wrong, or was; `latest` means that one, until it is removed "
            "or that day has come"
        )
    for one in taken.damaged:
        app.warn(
            f"blobs of the snapshot {one.id[:8]} are lost, so everything was read again, and written where it is the "
            f"same still; what is left: {command_line(app, 'verify')}"
        )
    for told in [*taken.unavailable, *(line for one in taken.snapshot.sources for line in tell_missing(one))]:
        app.warn(told)
    for told in (line for one in taken.snapshot.sources for line in tell_moved(one)):
        app.warn(told)
    for told in (line for one in taken.snapshot.sources for line in tell_narrowed(one)):
        app.say(told)
    links = links_of(app, repository, taken.snapshot)
    for told in tell_links(links):
        app.say(told)
    app.result({**_json(taken), "links": links_json(links)})
    if not app.json:
        _tell(app, taken)
    is_partial = any(request.selection.partial for request in requests)
    if is_partial and not taken.is_complete:
        app.warn(f"the snapshot {taken.snapshot.id[:8]} was saved and is incomplete")
        context.exit(INCOMPLETE)


def selection_from(
    named: NamedSource,
    schema: str,
    *,
    tables: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    exclude_columns: tuple[str, ...] = (),
    where: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    xattrs: bool = False,
    no_vectors: bool = False,
    schema_only: bool = False,
    allow_partial: bool = False,
    **_: Any,
) -> Selection:
    """What snap.toml says of the source, with the options added."""
    base = selection_of_named(named, schema)
    conditions = dict(base.where)
    for one in where:
        table, mark, condition = one.partition("=")
        if not mark or not table.strip() or not condition.strip():
            raise Invalid(f"--where {one!r} is not TABLE=SQL", hint="For example --where 'memories=heat > 0.5'.")
        conditions[qualified(table.strip(), schema)] = condition.strip()
    return replace(
        base,
        tables=tables or base.tables,
        exclude=(*base.exclude, *exclude),
        exclude_columns=(*base.exclude_columns, *(qualified_column(one, schema) for one in exclude_columns)),
        where=conditions,
        vectors=base.vectors and not no_vectors,
        rows=base.rows and not schema_only,
        partial=base.partial or allow_partial,
        only=only or base.only,
        ignore=(*base.ignore, *ignore),
        attributes=base.attributes or xattrs,
    )


def _chooses_files(selection: Selection) -> bool:
    return bool(selection.only or selection.ignore or selection.attributes)


def _without_files(request: Request) -> Request:
    """What chooses files says nothing of the databases that are taken with them."""
    return replace(request, selection=replace(request.selection, only=(), ignore=(), attributes=False))


def _json(taken: Taken) -> dict[str, Any]:
    return {
        "snapshot": taken.snapshot.id,
        "tags": list(taken.snapshot.tags),
        "sources": [
            {
                "name": source.name,
                "kind": source.kind,
                "missing": list(source.missing),
                "tables": [
                    {
                        "name": table.name,
                        "rows": table.rows,
                        "root": table.root,
                        "added": table.added,
                        "changed": table.changed,
                        "removed": table.removed,
                        "reading": table.reading,
                    }
                    for table in source.tables
                ],
            }
            for source in taken.snapshot.sources
        ],
        "bytes_read": taken.bytes_read,
        "bytes_new": taken.bytes_new,
        "bytes_added": taken.bytes_added,
        "seconds": taken.seconds,
        "unavailable": list(taken.unavailable),
        "later": [one.id for one in taken.later],
        "damaged": [one.id for one in taken.damaged],
    }


def _tell(app: App, taken: Taken) -> None:
    tables = [(source, table) for source in taken.snapshot.sources for table in source.tables]
    names = " ".join(source.name for source in taken.snapshot.sources)
    tags = f" [{' '.join(taken.snapshot.tags)}]" if taken.snapshot.tags else ""
    app.out(
        f"snapshot {paint(taken.snapshot.id[:8], 'bold')} of {clean(names)}{tags}: "
        f"{plural(rows_in(taken.snapshot), 'row')} in {plural(len(tables), 'table')}"
    )
    several = len(taken.snapshot.sources) > 1
    shown = [["table", "rows", "added", "changed", "removed", "read"]]
    for source, table in tables:
        label = f"{source.name}: {table.name}" if several else table.name
        shown.append([label, count(table.rows), *changes(table), clean(table.reading)])
    if tables:
        app.out(columns(shown, right={1, 2, 3, 4}, widest=72))
    app.out(
        f"read {amount(taken.bytes_read)} of rows; blobs of {amount(taken.bytes_new)} are new, "
        f"stored as {amount(taken.bytes_added)}, in {seconds(taken.seconds)}"
    )
