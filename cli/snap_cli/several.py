"""Restoring several sources of one snapshot: all plans first, then one source after the other.

Each source is one transaction, where its engine has any. What fails after others were done is told: what was done,
how to take it back, and how to go on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from snap_cli.context import App
from snap_cli.elsewhere import found_elsewhere, mention_lines, mentions_json
from snap_cli.failed import FailedFile
from snap_cli.manifests import tell_held
from snap_cli.plans import plan_json
from snap_cli.render import clean, paint
from snap_cli.telling import confirm, tell_done, tell_dry
from snap_cli.typed import command_line
from snapstore.digest import digest
from snapstore.errors import SnapstoreError
from snapstore.operations.ask import Ask, OnError
from snapstore.operations.named import patterns_by_source
from snapstore.operations.plan import Mode, Plan
from snapstore.operations.restore import Restored, plan_restore, restore
from snapstore.operations.sparing import check_spares
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Source

__all__ = ["carry_out_all"]


def carry_out_all(
    app: App,
    repository: Repository,
    snapshot: Snapshot,
    pairs: Sequence[tuple[SnapshotSource, Source]],
    base: Ask,
    patterns: Sequence[str],
    ignored: Mapping[str, tuple[str, ...]],
    *,
    dry_run: bool,
    plan_id: str | None,
    yes: bool,
    verify: bool,
    again: Sequence[str],
    failed: FailedFile,
    only: Mapping[str, Mapping[str, Sequence[bytes]]],
) -> None:
    """As `restore` of one source, for each of these; the id of all plans together is a digest of theirs.

    Of each source in `only` just these rows are meant, by table.
    """
    jobs = _jobs(snapshot, pairs, base, patterns, ignored, only)
    for _, live, _ in jobs if base.on_error is OnError.SKIP else ():
        check_spares(live)
    for held, _, _ in jobs:
        tell_held(app, snapshot, held)
    plans: list[Plan] = []
    if dry_run or plan_id is not None or (not yes and (base.mode is Mode.EXACT or base.recreate)):
        with app.progress() as progress:
            plans = [plan_restore(repository, snapshot, live, ask, progress=progress) for _, live, ask in jobs]
        whole = _together(snapshot, plans)
        if dry_run:
            found = [
                (held, found_elsewhere(held, live, of_snapshot(repository, snapshot, held.name)))
                for held, live, _ in jobs
            ]
            notes = [line for held, own in found for line in mention_lines(own, held)]
            more = {"mentions": mentions_json([one for _, own in found for one in own])}
            tell_dry(app, whole, again, notes=notes, more=more)
            return
        whole.check(plan_id)
        if not yes:
            confirm(app, plans)
    ids: list[str | None] = [plan.id for plan in plans] if plans else [None for _ in jobs]
    done: list[tuple[str, Restored]] = []
    for (held, live, ask), own_id in zip(jobs, ids, strict=True):
        try:
            with app.progress() as progress:
                restored = restore(
                    repository, snapshot, live, ask, plan_id=own_id, verify=verify, host=app.host, progress=progress
                )
        except SnapstoreError:
            _tell_where_it_stands(app, done, [own.name for own, _, _ in jobs], again)
            raise
        done.append((held.name, restored))
        failed.add(held.name, restored)
        if not app.json:
            app.out(f"{paint(held.name, 'bold')}  {clean(live.url)}")
            tell_done(app, restored)
    shape = plan_json(_together(snapshot, [restored.plan for _, restored in done]))
    shape |= failed.document()
    shape["sources"] = [
        {
            "name": name,
            "plan": restored.plan.id,
            "safety": restored.safety.id if restored.safety else None,
            "seconds": restored.seconds,
            "notes": list(restored.notes),
        }
        for name, restored in done
    ]
    app.result(shape)


def _jobs(
    snapshot: Snapshot,
    pairs: Sequence[tuple[SnapshotSource, Source]],
    base: Ask,
    patterns: Sequence[str],
    ignored: Mapping[str, tuple[str, ...]],
    only: Mapping[str, Mapping[str, Sequence[bytes]]],
) -> list[tuple[SnapshotSource, Source, Ask]]:
    """What to ask of each source; those of which no table is meant are left alone."""
    own = patterns_by_source([held for held, _ in pairs], patterns, snapshot.id[:8])
    jobs = []
    for held, live in pairs:
        if held.name in own:
            rows = only.get(held.name, {})
            ask = replace(
                base,
                source=held.name,
                tables=own[held.name] or tuple(rows),
                scope=replace(base.scope, keys=rows),
                ignore_columns=ignored.get(held.name, ()),
            )
            jobs.append((held, live, ask))
    return jobs


def _together(snapshot: Snapshot, plans: Sequence[Plan]) -> Plan:
    """One plan of several sources."""
    name = digest(" ".join(plan.id for plan in plans).encode()).hex()[:32]
    mode = plans[0].mode if plans else Mode.SKIP
    obstacle = next((plan.obstacle for plan in plans if plan.obstacle), "")
    return Plan(name, mode, snapshot.id[:8], tuple(table for plan in plans for table in plan.tables), obstacle)


def _tell_where_it_stands(
    app: App, done: Sequence[tuple[str, Restored]], names: Sequence[str], again: Sequence[str]
) -> None:
    for name, restored in done:
        back = f"; `{command_line(app, 'undo', restored.safety.id[:8])}` takes it back" if restored.safety else ""
        app.warn(f"{name} was restored{back}")
    left = names[len(done) :]
    app.warn(
        f"not restored: {', '.join(left)}; the same command goes on where it stopped, "
        f"and `{clean(shlex.join([*again, '--source', left[0]]))}` restores only {clean(left[0])}"
    )
