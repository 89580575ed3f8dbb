"""`snap gc`: remove snapshots by a policy, and give back the space of what none needs."""

from __future__ import annotations

import shutil
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import click

from snap_cli.announcing import Announced
from snap_cli.context import App, command
from snap_cli.render import amount, clean, columns, moment, paint, plural
from snap_cli.settings import Room
from snap_cli.sizes import SIZE
from snapstore.backends.places import is_url
from snapstore.errors import Invalid
from snapstore.operations.gc import GcPlan, gc, plan_gc
from snapstore.operations.retention import Policy, duration_words, parse_duration
from snapstore.repository import Repository

__all__ = ["gc_command", "rules"]


@command(
    "gc",
    example="snap gc --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run\n"
    "snap gc --keep-within 30d --keep-tag release\n"
    "snap gc --keep-all      # only give back the space of snapshots that were removed\n"
    "snap gc                 # by [retention] in snap.toml",
    cls=Announced,
)
@click.option("--keep-last", type=click.IntRange(0), default=0, metavar="N", help="Keep the last N snapshots.")
@click.option("--keep-hourly", type=click.IntRange(0), default=0, metavar="N", help="... the newest of N hours.")
@click.option("--keep-daily", type=click.IntRange(0), default=0, metavar="N", help="... of N days.")
@click.option("--keep-weekly", type=click.IntRange(0), default=0, metavar="N", help="... of N weeks.")
@click.option("--keep-monthly", type=click.IntRange(0), default=0, metavar="N", help="... of N months.")
@click.option("--keep-yearly", type=click.IntRange(0), default=0, metavar="N", help="... of N years.")
@click.option("--keep-within", metavar="DURATION", help="... and all so much older than the newest: 30d, 12h, 1y6m.")
@click.option("--keep-tag", "keep_tags", multiple=True, metavar="TAG", help="... and all with this tag.")
@click.option(
    "--max-size",
    type=SIZE,
    metavar="SIZE",
    help="Remove the oldest that only counts keep, till the packs take no more: 10GB.",
)
@click.option("--min-free", type=SIZE, metavar="SIZE", help="... till so much of the disk is free.")
@click.option("--keep-all", is_flag=True, help="Remove no snapshot; only sweep what none needs.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed and how many bytes come back.")
@click.option("--wait", "wait_seconds", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
              help="How long to wait for takes and restores that run beside this.")  # fmt: skip
@click.pass_obj
def gc_command(
    app: App,
    /,
    keep_within: str | None,
    keep_all: bool,
    max_size: int | None,
    min_free: int | None,
    dry_run: bool,
    wait_seconds: float,
    **kept: Any,
) -> None:
    """Remove the snapshots that no rule keeps, and give back the space of what none needs.

    Each set of sources is judged on its own. Always kept: pinned snapshots, the newest of each set of sources, what is
    dated in the future (it counts for nothing till then), and for 30 days the states before restores. Where no --keep…
    is given, [retention] in snap.toml holds.

    --max-size and --min-free make room by the oldest snapshots that only a count keeps (none with a pin, a tag or
    --keep-within); where these would not be enough, none of them goes, and that is said.
    """
    room = Room(max_size, min_free)
    policy = Policy(keep_within=parse_duration(keep_within) if keep_within else None, **kept)
    if policy.is_empty and not keep_all and app.settings.retention is not None:
        policy = app.settings.retention
        if room == Room():
            room = app.settings.room
        app.say(f"kept by [retention] in {app.settings.path}: {', '.join(rules(policy, room))}")
    if policy.is_empty and not keep_all:
        raise Invalid(
            "no rule says what to keep; nothing was removed",
            hint="Say what to keep, as in --keep-daily 7 --keep-weekly 5 or under [retention] in snap.toml, or "
            "--keep-all to sweep only.",
        )
    if keep_all and not (policy.is_empty and room == Room()):
        raise Invalid("--keep-all contradicts the other rules", hint="Choose one of them.")
    repository = app.repository()
    wanted = _bytes_to_free(repository, room)
    with app.progress() as progress:
        plan = plan_gc(
            repository, None if keep_all else policy, now=datetime.now(UTC), free_bytes=wanted, progress=progress
        )
    if plan.short_bytes:
        app.warn(
            f"there is not as much room as was asked for: {amount(plan.short_bytes)} more would have to come back, and "
            "removing every snapshot that only counts keep would not give it; none of those is removed"
        )
    if dry_run:
        if app.json:
            app.document(_json(plan))
            return
        _tell(app, plan)
        gone = plural(len(plan.removed), "snapshot")
        app.out(f"dry run: {gone} would be removed and {amount(plan.bytes_freed)} given back")
        return
    with app.progress() as progress:
        done = gc(repository, plan, wait_seconds=wait_seconds, progress=progress)
    shape = _json(plan)
    shape.update(
        removed=list(done.removed), kept=list(done.kept), bytes_freed=done.bytes_freed, waiting=list(done.waiting)
    )
    app.result(shape)
    if not app.json:
        _tell(app, plan)
        app.out(
            f"{plural(len(done.removed), 'snapshot')} removed, {len(done.kept):,} kept, "
            f"{amount(max(0, done.bytes_freed))} given back"
        )
    if done.waiting:
        names = ", ".join(one[:8] for one in done.waiting)
        app.warn(
            f"space is not given back yet, because something runs beside this ({names}); run `snap gc` again later, "
            "or with --wait"
        )


def _bytes_to_free(repository: Repository, room: Room) -> int:
    """How many bytes must come back. Raises `Invalid` for `min-free` where the repository is on no disk of ours."""
    wanted = [0]
    if room.max_bytes is not None:
        wanted.append(sum(pack.size_bytes for pack in repository.blobs.packs()) - room.max_bytes)
    if room.min_free_bytes is not None:
        if is_url(repository.location):
            raise Invalid("min-free is for repositories in folders", hint="Use max-size for a bucket.")
        wanted.append(room.min_free_bytes - shutil.disk_usage(repository.location).free)
    return max(wanted)


def rules(policy: Policy, room: Room) -> list[str]:
    """A policy in words."""
    told = [
        f"{getattr(policy, one.name)} {one.name.removeprefix('keep_')}"
        for one in fields(policy)
        if one.name not in ("keep_within", "keep_tags") and getattr(policy, one.name)
    ]
    if policy.keep_within is not None:
        told.append(f"within {duration_words(policy.keep_within)}")
    told += [f"tag {tag}" for tag in policy.keep_tags]
    told += [] if room.max_bytes is None else [f"at most {amount(room.max_bytes)}"]
    return told + ([] if room.min_free_bytes is None else [f"{amount(room.min_free_bytes)} free"])


def _tell(app: App, plan: GcPlan) -> None:
    if not plan.choices:
        return
    rows = [["", "id", "time (UTC)", "source", "reasons"]]
    for choice in plan.choices:
        snapshot = choice.snapshot
        rows.append(
            [
                "keep" if choice.keep else paint("remove", "red"),
                snapshot.id[:8],
                moment(snapshot.time),
                clean(" ".join(source.name for source in snapshot.sources)),
                clean(", ".join(choice.reasons)),
            ]
        )
    app.out(columns(rows, indent=0))


def _json(plan: GcPlan) -> dict[str, Any]:
    return {
        "removed": list(plan.removed),
        "kept": list(plan.kept),
        "bytes_freed": plan.bytes_freed,
        "short_bytes": plan.short_bytes,
        "choices": [
            {"snapshot": choice.snapshot.id, "keep": choice.keep, "reasons": list(choice.reasons)}
            for choice in plan.choices
        ],
    }
