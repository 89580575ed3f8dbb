"""`snap gc`: remove snapshots by a policy, and give back the space of what none needs."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import click

from snap_cli.context import App, command
from snap_cli.render import amount, clean, columns, moment, paint, plural
from snapstore.errors import Invalid
from snapstore.operations.gc import GcPlan, gc, plan_gc
from snapstore.operations.retention import Policy, duration_words, parse_duration

__all__ = ["gc_command", "rules"]


@command(
    "gc",
    example="snap gc --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run\n"
    "snap gc --keep-within 30d --keep-tag release\n"
    "snap gc --keep-all      # only give back the space of snapshots that were removed\n"
    "snap gc                 # by [retention] in snap.toml",
)
@click.option("--keep-last", type=click.IntRange(0), default=0, metavar="N", help="Keep the last N snapshots.")
@click.option("--keep-hourly", type=click.IntRange(0), default=0, metavar="N", help="... the newest of N hours.")
@click.option("--keep-daily", type=click.IntRange(0), default=0, metavar="N", help="... of N days.")
@click.option("--keep-weekly", type=click.IntRange(0), default=0, metavar="N", help="... of N weeks.")
@click.option("--keep-monthly", type=click.IntRange(0), default=0, metavar="N", help="... of N months.")
@click.option("--keep-yearly", type=click.IntRange(0), default=0, metavar="N", help="... of N years.")
@click.option("--keep-within", metavar="DURATION", help="... and all so much older than the newest: 30d, 12h, 1y6m.")
@click.option("--keep-tag", "keep_tags", multiple=True, metavar="TAG", help="... and all with this tag.")
@click.option("--keep-all", is_flag=True, help="Remove no snapshot; only sweep what none needs.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed and how many bytes come back.")
@click.option("--wait", "wait_seconds", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
              help="How long to wait for takes and restores that run beside this.")  # fmt: skip
@click.pass_obj
def gc_command(
    app: App, /, keep_within: str | None, keep_all: bool, dry_run: bool, wait_seconds: float, **kept: Any
) -> None:
    """Remove the snapshots that no rule keeps, and give back the space of what none needs.

    Each set of sources is judged on its own. Always kept: pinned snapshots, the newest of each set of sources, and for
    30 days the states before restores. Where no --keep… is given, [retention] in snap.toml holds.
    """
    policy = Policy(keep_within=parse_duration(keep_within) if keep_within else None, **kept)
    if policy.is_empty and not keep_all and app.settings.retention is not None:
        policy = app.settings.retention
        app.say(f"kept by [retention] in {app.settings.path}: {', '.join(rules(policy))}")
    if policy.is_empty and not keep_all:
        raise Invalid(
            "no rule says what to keep; nothing was removed",
            hint="Say what to keep, as in --keep-daily 7 --keep-weekly 5 or under [retention] in snap.toml, or "
            "--keep-all to sweep only.",
        )
    if keep_all and not policy.is_empty:
        raise Invalid("--keep-all contradicts the other rules", hint="Choose one of them.")
    repository = app.repository()
    with app.progress() as progress:
        plan = plan_gc(repository, None if keep_all else policy, now=datetime.now(UTC), progress=progress)
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
    if app.json:
        shape = _json(plan)
        shape.update(
            removed=list(done.removed), kept=list(done.kept), bytes_freed=done.bytes_freed, waiting=list(done.waiting)
        )
        app.document(shape)
    else:
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


def rules(policy: Policy) -> list[str]:
    """A policy in words."""
    told = [
        f"{getattr(policy, one.name)} {one.name.removeprefix('keep_')}"
        for one in fields(policy)
        if one.name not in ("keep_within", "keep_tags") and getattr(policy, one.name)
    ]
    if policy.keep_within is not None:
        told.append(f"within {duration_words(policy.keep_within)}")
    return told + [f"tag {tag}" for tag in policy.keep_tags]


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
        "choices": [
            {"snapshot": choice.snapshot.id, "keep": choice.keep, "reasons": list(choice.reasons)}
            for choice in plan.choices
        ],
    }
