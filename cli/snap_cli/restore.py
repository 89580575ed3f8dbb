"""`snap restore`: put back what a snapshot holds, or show what that would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from snap_cli.announcing import Announced
from snap_cli.completing import snapshot_names, source_names
from snap_cli.context import App, command
from snap_cli.elsewhere import found_elsewhere, mention_lines, mentions_json
from snap_cli.errors import INCOMPLETE
from snap_cli.failed import FailedFile, check_failed, on_error_options
from snap_cli.ignoring import check_ignored, ignore_options, ignored_by
from snap_cli.linking import links_of, tell_elsewhere, tell_links
from snap_cli.manifests import tell_held
from snap_cli.names import keys_by_table
from snap_cli.render import clean, plural
from snap_cli.several import carry_out_all
from snap_cli.sources import live_sources
from snap_cli.telling import confirm, tell_done, tell_dry
from snap_cli.typed import typed
from snapstore.errors import Invalid
from snapstore.operations.ask import Ask, OnError
from snapstore.operations.failed import read_failed
from snapstore.operations.named import one_table
from snapstore.operations.plan import Mode
from snapstore.operations.related import referred_elsewhere
from snapstore.operations.related import with_related as with_related_rows
from snapstore.operations.restore import plan_restore, restore
from snapstore.operations.scope import Scope
from snapstore.operations.state import State, StateTable, matches, of_snapshot
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Source

__all__ = ["carry_out", "conditions_by_table", "restore_command"]


@command(
    "restore",
    example="snap restore latest --dry-run\n"
    "snap restore latest~1 --conflict update --table memories\n"
    "snap restore 1f2e3d4c --exact --key memories:17\n"
    "snap restore latest --to postgresql://me@localhost/an_empty_database\n"
    "snap restore latest --on-error skip --failed failed.jsonl\n"
    "snap restore latest --retry failed.jsonl",
    cls=Announced,
)
@click.argument("name", metavar="SNAP", shell_complete=snapshot_names)
@click.option("--dry-run", is_flag=True, help="Say what would be done, with a plan id; change nothing.")
@click.option(
    "--conflict",
    type=click.Choice(["skip", "update"]),
    help="Rows that differ: leave the live ones (skip, the default), or set the columns that differ (update).",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Like update, and delete rows that the snapshot does not have (of one taken with --where: only rows that "
    "--key or --where name).",
)
@click.option("--table", "tables", multiple=True, metavar="PATTERN", help="Only these tables.")
@click.option("--where", "conditions", multiple=True, metavar="[TABLE=]SQL", help="Only rows that meet a condition.")
@click.option("--key", "keys", multiple=True, metavar="TABLE:KEY", help="Only the row with this key.")
@click.option(
    "--with-related", is_flag=True, help="With --key: also the rows that these refer to by foreign keys or [[links]]."
)
@click.option("--exclude-column", "exclude_columns", multiple=True, metavar="TABLE.COLUMN", help="Not this column.")
@ignore_options
@click.option(
    "--source", metavar="NAME", shell_complete=source_names, help="Of several sources in the snapshot, this one."
)
@click.option(
    "--to", metavar="URL|NAME", shell_complete=source_names, help="The live database [SNAP_SOURCE, or as recorded]."
)
@on_error_options
@click.option("--retry", type=click.Path(path_type=Path, dir_okay=False), help="Only the rows that such a file lists.")
@click.option("--plan", "plan_id", metavar="ID", help="Do exactly what a dry run said, or exit 5 if rows have drifted.")
@click.option("--recreate", is_flag=True, help="Rebuild tables whose shape changed as they were (drops the live ones).")
@click.option("--no-privileges", is_flag=True, help="Do not give tables that are made the privileges they had.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option("--no-verify", is_flag=True, help="Do not read the rows back before committing.")
@click.pass_context
def restore_command(
    context: click.Context,
    name: str,
    dry_run: bool,
    conflict: str | None,
    exact: bool,
    tables: tuple[str, ...],
    conditions: tuple[str, ...],
    keys: tuple[str, ...],
    with_related: bool,
    exclude_columns: tuple[str, ...],
    ignore_columns: tuple[str, ...],
    all_columns: bool,
    source: str | None,
    to: str | None,
    on_error: str,
    failed: Path | None,
    retry: Path | None,
    plan_id: str | None,
    recreate: bool,
    no_privileges: bool,
    yes: bool,
    no_verify: bool,
) -> None:
    """Put back what a snapshot holds: rows that are missing, and with --conflict update or --exact those that differ.

    Each source is restored in one transaction or not at all, after a snapshot of what will be overwritten (`snap undo`
    restores that). An empty database gets everything: extensions, tables, rows, indexes; an SQLite file that is not
    there is made. Qdrant has no transactions: what fails half-way says what was done, and goes on when repeated.

    Where a live table has other columns, types or constraints by now, the columns that both have are restored, cells
    of another type converted as the server assigns them; what cannot be is refused, and --recreate rebuilds the table.

    With --on-error skip a source (PostgreSQL, SQLite) is restored but for the rows that it refuses, and those that
    refer to them: not all or nothing. They are listed in a file, which --retry takes when the cause is mended.
    """
    app: App = context.obj
    if exact and conflict == "skip":
        raise Invalid("--exact and --conflict skip contradict each other", hint="Choose one of them.")
    if plan_id is not None and dry_run:
        raise Invalid("--plan and --dry-run contradict each other", hint="Choose one of them.")
    check_failed(on_error, failed)
    repository = app.repository()
    snapshot = app.snapshot(repository, name)
    pairs = live_sources(app, repository, snapshot, source=source, to=to)
    mode, tried = Mode.EXACT if exact else Mode(conflict or "skip"), None
    if retry is not None:
        if exact or tables or keys or conditions:
            raise Invalid("--retry says which rows are meant, and none is deleted", hint="Leave out the other choice.")
        tried = read_failed(retry, repository, snapshot)
        pairs = [(own, live) for own, live in pairs if own.name in tried.keys]
        if not pairs:
            app.result({"plan": None, "tables": []})
            app.say(f"{clean(str(retry))} lists no row of these sources: nothing to do")
            return
        mode = Mode(conflict) if conflict else Mode.SKIP if tried.mode is Mode.SKIP else Mode.UPDATE
    if dry_run:
        for told in tell_links(links_of(app, repository, snapshot)):
            app.say(f"{snapshot.id[:8]}: {told}")
    first = typed(app, "restore", snapshot.id[:8])
    columns = [word for one in exclude_columns for word in ("--exclude-column", one)]
    columns += [word for one in ignore_columns for word in ("--ignore-column", one)]
    columns += ["--all-columns"] if all_columns else []
    place = ["--source", pairs[0][0].name] if len(snapshot.sources) > 1 and len(pairs) == 1 else []
    place += ["--to", to if to in app.settings.sources else pairs[0][1].url] if to else []
    again = list(first)
    again += ["--exact"] if exact else ["--conflict", mode.value] if mode is not Mode.SKIP else []
    again += [word for one in tables for word in ("--table", one)] + [word for one in keys for word in ("--key", one)]
    again += [word for one in conditions for word in ("--where", one)]
    again += ["--with-related"] if with_related else []
    again += [*columns, *place]
    again += ["--recreate"] if recreate else []
    again += ["--no-privileges"] if no_privileges else []
    again += ["--on-error", on_error] if on_error != OnError.STOP else []
    again += ["--failed", str(failed)] if failed else []
    again += ["--retry", str(retry)] if retry else []
    base = Ask(
        mode=mode,
        recreate=recreate,
        privileges=not no_privileges,
        trusted=app.trusts(repository),
        on_error=OnError(on_error),
    )
    ignored = ignored_by(app, [own.name for own, _ in pairs], ignore_columns, all_columns=all_columns)
    check_ignored(
        ignore_columns, [one for own, _ in pairs for one in of_snapshot(repository, snapshot, own.name).tables]
    )
    several = len(pairs) > 1
    if several and (keys or conditions or exclude_columns or with_related):
        names = ", ".join(own.name for own, _ in pairs)
        raise Invalid(
            "--key, --where and --exclude-column are for one source", hint=f"Pick one with --source: {names}."
        )
    retried = [*first, *columns, *place]
    with FailedFile.opened(app, failed, snapshot, base, retried, dry_run=dry_run) as listed:
        if several:
            carry_out_all(
                app, repository, snapshot, pairs, base, tables, ignored,
                dry_run=dry_run, plan_id=plan_id, yes=yes, verify=not no_verify, again=again, failed=listed,
                only={} if tried is None else tried.keys,
            )  # fmt: skip
        else:
            held, live = pairs[0]
            state = of_snapshot(repository, snapshot, held.name)
            # What only the live table has, --exact may delete.
            wanted = keys_by_table([state], keys, snapshot.id[:8], absent=exact)
            if with_related:
                wanted = _related(app, state, live, wanted, conditions, tables)
            if tried is not None:
                wanted = {table: list(own) for table, own in tried.keys[held.name].items()}
            where = conditions_by_table(state.tables, tables, conditions, snapshot.id[:8])
            schema = state.tables[0].name.partition(".")[0] if state.tables else "public"
            ask = replace(
                base,
                source=held.name,
                tables=_patterns(tables, wanted, where),
                scope=Scope(keys=wanted, where=where),
                exclude_columns=tuple(one if one.count(".") != 1 else f"{schema}.{one}" for one in exclude_columns),
                ignore_columns=ignored.get(held.name, ()),
            )
            carry_out(
                app, repository, snapshot, held, live, ask,
                dry_run=dry_run, plan_id=plan_id, yes=yes, verify=not no_verify, again=again, failed=listed,
            )  # fmt: skip
    if listed.rows:
        context.exit(INCOMPLETE)


def carry_out(
    app: App,
    repository: Repository,
    snapshot: Snapshot,
    held: SnapshotSource,
    live: Source,
    ask: Ask,
    *,
    dry_run: bool,
    plan_id: str | None,
    yes: bool,
    verify: bool,
    again: Sequence[str],
    failed: FailedFile | None = None,
) -> None:
    """Plan, show, ask if something would be deleted, and restore; `again` is the command that a dry run names, `failed`
    where rows are listed that are left out.
    """
    tell_held(app, snapshot, held)
    must_ask = not yes and (ask.mode is Mode.EXACT or ask.recreate)
    if dry_run or must_ask:
        with app.progress() as progress:
            plan = plan_restore(repository, snapshot, live, ask, progress=progress)
        if dry_run:
            found = found_elsewhere(held, live, of_snapshot(repository, snapshot, held.name))
            more = {"mentions": mentions_json(found)} if held.kind == "file" else None
            tell_dry(app, plan, again, notes=mention_lines(found, held), more=more)
            return
        plan.check(plan_id)
        confirm(app, [plan])
        plan_id = plan.id
    with app.progress() as progress:
        restored = restore(
            repository, snapshot, live, ask, plan_id=plan_id, verify=verify, host=app.host, progress=progress
        )
    if failed is not None:
        failed.add(held.name, restored)
    tell_done(app, restored, more=None if failed is None else failed.document())


def _related(
    app: App,
    state: State,
    source: Source,
    keys: dict[str, list[bytes]],
    conditions: Sequence[str],
    tables: Sequence[str],
) -> dict[str, list[bytes]]:
    if not keys or conditions or tables:
        raise Invalid("--with-related goes with --key alone", hint="Name rows: --key memories:17.")
    links = app.settings.links
    wanted = with_related_rows(state, source, keys, links)
    for told in tell_elsewhere(referred_elsewhere(state, wanted, links)):
        app.say(told)
    return wanted


def _patterns(tables: Sequence[str], keys: Mapping[str, Any], where: Mapping[str, str]) -> tuple[str, ...]:
    """The tables to look at: keys and conditions name theirs."""
    named = dict.fromkeys([*keys, *where])
    return tuple(tables) if tables else tuple(named)


def conditions_by_table(
    found: Sequence[StateTable], patterns: Sequence[str], texts: Sequence[str], label: str
) -> dict[str, str]:
    """Conditions by full table name; without `TABLE=` there must be only one table that can be meant."""
    conditions: dict[str, str] = {}
    for text in texts:
        head, mark, rest = text.partition("=")
        name = head.strip()
        if mark and any(name in (table.name, table.name.partition(".")[2]) for table in found):
            conditions[one_table(found, name, label).name] = rest.strip()
            continue
        meant = [table for table in found if not patterns or any(matches(table.name, one) for one in patterns)]
        if len(meant) != 1:
            raise Invalid(
                f"--where {clean(text)!r} could be about {plural(len(meant), 'table')}",
                hint="Write it as TABLE=SQL, or choose the table with --table.",
            )
        conditions[meant[0].name] = text
    return conditions
