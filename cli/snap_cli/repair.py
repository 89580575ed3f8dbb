"""`snap repair`: mend what `snap verify` finds, and cut off honestly what cannot be mended."""

from __future__ import annotations

from typing import Any

import click

from snap_cli.completing import snapshot_names, source_names
from snap_cli.context import App, command, group, passphrase_options
from snap_cli.errors import DAMAGED
from snap_cli.render import amount, clean, paint, plural
from snap_cli.sources import one_source, open_named
from snap_cli.typed import command_line
from snapstore.errors import Invalid
from snapstore.operations.cut import CutPlan, cut, plan_cut
from snapstore.operations.heal import heal
from snapstore.operations.remedies import FromRepository, FromSource, Remedy
from snapstore.operations.repair_index import RepairedIndex, repair_index
from snapstore.repository import Snapshot, resolve_all

__all__ = ["repair_command"]

_MOST = 8


repair_command = group(
    "repair",
    "Mend a damaged repository: rebuild its index, heal its blobs, and cut off what stays damaged.\n\n"
    "First look for the failing disk or memory: what mends a repository also writes to it.",
    example="snap verify --read-data\n"
    "snap repair heal --from /mnt/off-site/memory\n"
    "snap gc --keep-all\n"
    "snap repair cut --dry-run",
    heading="Example, in this order",
)


@command("index", example="snap repair index")
@click.pass_obj
def index_command(app: App) -> None:
    """Rebuild the index from the packs, if it is damaged, says what is not so, or does not know what is there.

    Nothing can be lost by it; takes may run beside it.
    """
    repaired = repair_index(app.repository())
    if app.json:
        app.document(_index_json(repaired))
        return
    _tell_index(app, repaired)
    if not repaired.is_new:
        app.out("the index is as it should be")


@command(
    "heal",
    example="snap repair heal\n"
    "snap repair heal --from /mnt/off-site/memory\n"
    "snap repair heal --from-source postgresql://me@localhost/agents",
)
@click.option("--from", "from_place", metavar="PATH", help="A repository that has copies of the snapshots.")
@passphrase_options("from", "that of --from")
@click.option("--from-source", "from_sources", metavar="URL|NAME", shell_complete=source_names, multiple=True,
              help="A live source: rows that are as they were give the same bytes.")  # fmt: skip
@click.pass_context
def heal_command(
    context: click.Context,
    from_place: str | None,
    from_passphrase_file: str | None,
    from_passphrase_command: str | None,
    from_sources: tuple[str, ...],
) -> None:
    """Heal damaged and lost blobs, from other packs of the repository, another repository, or the live source.

    Every byte is read first. Every blob that is put back is the one that was written, to the bit. Exits 4 if some
    damage is left; `snap gc` then deletes the packs that are needed no more.
    """
    app: App = context.obj
    if from_place is None and (from_passphrase_file or from_passphrase_command):
        raise Invalid("--from-passphrase-… without --from", hint="Name the repository with --from.")
    repository = app.repository()
    remedies: list[Remedy] = []
    if from_place is not None:
        other = app.other_repository(from_place, "from", from_passphrase_file, from_passphrase_command)
        if (other.settings.id, other.location) == (repository.settings.id, repository.location):
            raise Invalid("a repository cannot be healed from itself", hint="Name another one with --from.")
        remedies.append(FromRepository(other))
    for text in from_sources:
        named = one_source(app, text)
        remedies.append(FromSource(named.name, open_named(app, named)))
    with app.progress() as progress:
        healed = heal(repository, remedies, progress=progress)
    if app.json:
        app.document(
            {
                "index": _index_json(healed.index),
                "damaged": len(healed.damaged),
                "healed": list(healed.healed),
                "left": [
                    {"object": one.object, "reason": one.reason, "blob": one.blob, "snapshots": list(one.snapshots)}
                    for one in healed.left
                ],
                "condemned": list(healed.condemned),
                "bytes_added": healed.bytes_added,
                "hints_dropped": healed.hints_dropped,
            }
        )
    else:
        _tell_index(app, healed.index)
        if not healed.damaged:
            app.out("no damage: nothing was to be healed")
        else:
            app.out(f"healed {plural(len(healed.healed), 'blob')}, {amount(healed.bytes_added)} stored")
        if healed.hints_dropped:
            tables = plural(healed.hints_dropped, "table")
            app.out(f"dropped the hints of {tables}: the next take reads more of them, and nothing else is lost")
        for one in list(dict.fromkeys((one.object, one.reason) for one in healed.left))[:_MOST]:
            app.out(f"{paint('damaged', 'red')} still: {clean(one[0])}: {clean(one[1])}")
        if healed.condemned and not healed.left:
            packs = plural(len(healed.condemned), "pack")
            again = command_line(app, "gc", "--keep-all")
            app.say(f"`{again}` deletes {packs} that had the damage, once nothing needs them")
    if healed.left:
        cutting = command_line(app, "repair", "cut", "--dry-run")
        app.say(f"try another repository or source, or cut off what is lost: `{cutting}`")
        context.exit(DAMAGED)


@command("cut", example="snap repair cut --dry-run\nsnap repair cut 1f2e3d4c --yes\nsnap rm 1f2e3d4c")
@click.argument("names", metavar="[SNAP]...", shell_complete=snapshot_names, nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say which rows would be left out; write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def cut_command(app: App, names: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Make a snapshot of what can still be read of each damaged one (all, if none is named), without what is lost.

    It says which rows of which tables are left out, and has the tag `cut`. The damaged one stays until it is removed
    with `snap rm`; heal first, since what is cut off is gone with it.
    """
    repository = app.repository()
    chosen: list[Snapshot] | None = None
    if names:
        chosen = resolve_all(repository.snapshots(), names)
    with app.progress() as progress:
        plans = plan_cut(repository, chosen, progress=progress)
    if not app.json:
        for plan in plans:
            _tell_plan(app, plan)
    if plans and not dry_run and not yes:
        if not app.is_interactive or app.json:
            raise Invalid("nobody is there to be asked", hint="Look at it with --dry-run, then add --yes.")
        if not click.confirm(f"Make {plural(len(plans), 'snapshot')} without these rows?", err=True):
            raise Invalid("not confirmed; nothing was changed", hint="`--dry-run` shows what would be done.")
    made: list[Snapshot] = []
    if not dry_run:
        with app.progress() as progress:
            made = [cut(repository, plan, progress=progress) for plan in plans]
    if app.json:
        app.document({"cut": [_plan_json(plan, made[at] if made else None) for at, plan in enumerate(plans)]})
        return
    if not plans:
        app.out("no snapshot has damage that could be cut off")
    elif dry_run:
        app.out(f"dry run: {plural(len(plans), 'snapshot')} would be made; the damaged ones would stay")
    for plan, one in zip(plans, made, strict=False):
        app.out(f"snapshot {paint(one.id, 'bold')}: {plan.snapshot.id[:8]} without {plural(plan.rows, 'row')}")
    if made:
        gone = command_line(app, "rm", *(plan.snapshot.id[:8] for plan in plans))
        then = command_line(app, "gc", "--keep-all")
        app.say(f"`{gone}` removes the damaged ones; then `{then}` deletes what was damaged")


def _tell_index(app: App, repaired: RepairedIndex) -> None:
    for segment, reason in repaired.segments.items():
        app.out(f"dropped {clean(segment)}: {clean(reason)}")
    if repaired.is_new:
        app.out(f"rebuilt the index from the packs; {plural(repaired.unindexed, 'blob')} had been in none of it")
    for pack in repaired.damaged_packs:
        app.warn(f"the directory of the pack {pack} is damaged: `snap repair heal` saves what is in it")


def _tell_plan(app: App, plan: CutPlan) -> None:
    app.out(f"{plan.snapshot.id[:8]}: {plural(plan.rows, 'row')} lost")
    for one in plan.lost:
        app.out(f"  {clean(one.source)}: {clean(one.words)}")
    for name in plan.objects:
        app.out(f"  {clean(name)}: everything beside its tables is lost")


def _index_json(repaired: RepairedIndex) -> dict[str, Any]:
    return {
        "rebuilt": repaired.is_new,
        "segments": [{"object": name, "reason": reason} for name, reason in repaired.segments.items()],
        "unindexed": repaired.unindexed,
        "damaged_packs": list(repaired.damaged_packs),
    }


def _plan_json(plan: CutPlan, made: Snapshot | None) -> dict[str, Any]:
    return {
        "snapshot": plan.snapshot.id,
        "cut": None if made is None else made.id,
        "rows": plan.rows,
        "tables": [
            {"source": one.source, "name": one.table, "rows": one.rows, "keys": one.named(), "unnamed": one.unnamed}
            for one in plan.lost
        ],
        "objects": list(plan.objects),
    }


for _command in (index_command, heal_command, cut_command):
    repair_command.add_command(_command)
