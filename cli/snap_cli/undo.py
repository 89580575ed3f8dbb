"""`snap undo`: take back a restore."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from snap_cli.completing import snapshot_names, source_names
from snap_cli.context import App, command
from snap_cli.dated import tell_future
from snap_cli.errors import INCOMPLETE
from snap_cli.failed import FailedFile, check_failed, on_error_options
from snap_cli.render import moment
from snap_cli.restore import carry_out
from snap_cli.sources import live_sources
from snap_cli.typed import typed
from snapstore.errors import Invalid
from snapstore.operations.ask import OnError
from snapstore.operations.undo import check_restored, last_restore, undo_ask
from snapstore.repository import resolve

__all__ = ["undo_command"]


@command(
    "undo", example="snap undo --dry-run\nsnap undo\nsnap undo 9a8b7c6d      # a safety snapshot from `snap list --all`"
)
@click.argument("name", metavar="[SAFETY]", shell_complete=snapshot_names, required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be done, with a plan id; change nothing.")
@click.option(
    "--to",
    metavar="URL|NAME",
    shell_complete=source_names,
    help="The database that was restored [SNAP_SOURCE, or as recorded].",
)
@on_error_options
@click.option("--plan", "plan_id", metavar="ID", help="Do exactly what a dry run said, or exit 5 if rows have drifted.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option("--no-verify", is_flag=True, help="Do not read the rows back before committing.")
@click.pass_context
def undo_command(
    context: click.Context,
    name: str | None,
    dry_run: bool,
    to: str | None,
    on_error: str,
    failed: Path | None,
    plan_id: str | None,
    yes: bool,
    no_verify: bool,
) -> None:
    """Take back the last restore, or the one that a safety snapshot preceded: the rows it touched, and no others.

    An undo can be undone in the same way, which does the restore again. Rows that --on-error skip leaves out are put
    back by `snap restore SAFETY --retry FILE` when the cause is mended.
    """
    app: App = context.obj
    check_failed(on_error, failed)
    if plan_id is not None and dry_run:
        raise Invalid("--plan and --dry-run contradict each other", hint="Choose one of them.")
    repository = app.repository()
    snapshots = repository.snapshots()
    safety = resolve(snapshots, name) if name is not None else last_restore(snapshots)
    for told in tell_future(safety):
        app.warn(told)
    app.say(f"the restore of {(safety.safety or 'nothing')[:8]} on {moment(safety.time)} UTC is taken back")
    held, live = live_sources(app, repository, safety, to=to)[0]
    ask = replace(undo_ask(repository, safety), trusted=app.trusts(repository), on_error=OnError(on_error))
    if to is None:
        check_restored(live, held)
    place = ["--to", to if to in app.settings.sources else live.url] if to else []
    again = [*typed(app, "undo", safety.id[:8]), *place]
    again += ["--on-error", on_error] if on_error != OnError.STOP else []
    again += ["--failed", str(failed)] if failed else []
    retried = [*typed(app, "restore", safety.id[:8]), *place]
    with FailedFile.opened(app, failed, safety, ask, retried, dry_run=dry_run) as listed:
        carry_out(
            app, repository, safety, held, live, ask,
            dry_run=dry_run, plan_id=plan_id, yes=yes, verify=not no_verify, again=again, failed=listed,
        )  # fmt: skip
    if listed.rows:
        context.exit(INCOMPLETE)
