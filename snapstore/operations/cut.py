"""Cut off what stays damaged: a snapshot like the damaged one, without the rows that cannot be had, which it names.

    for plan in plan_cut(repository):
        plan.lost[0].words
        cut(repository, plan).id

The damaged snapshot stays until somebody removes it: what is lost today may be found tomorrow. What is lost is said in
the manifest, so a restore of a snapshot that was cut never takes a row for one that was not there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from snapstore.blobs.writer import BlobWriter
from snapstore.errors import Corrupt, NotFound, Unavailable
from snapstore.keys import decode_equal
from snapstore.operations.capture import Progress, silent
from snapstore.operations.condemn import condemn_damaged
from snapstore.operations.damage import Damage
from snapstore.operations.harm import TOUCHED
from snapstore.operations.heartbeat import Heartbeat
from snapstore.operations.lost_hints import sound_hints
from snapstore.operations.verify import verify
from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable
from snapstore.rows import Cells, KeyPart, width_of
from snapstore.sources.display import display
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.cutting import Stretch, rows_outside
from snapstore.tree.reader import TableTree

__all__ = ["TAG", "CutPlan", "LostRows", "cut", "plan_cut"]

TAG = "cut"
_TOLD = 20


@dataclass(frozen=True, slots=True)
class LostRows:
    """What a table of a source loses: rows by their keys, and `unnamed` ones, of which not even the key can be read.

    `keys` are in order-preserving bytes, made of `parts`. `stretches` are the keys that are cut out; none where the
    table as a whole cannot be opened, and goes. The source of keys that a restore touched is `TOUCHED`.
    """

    source: str
    table: str
    parts: tuple[KeyPart, ...]
    keys: tuple[bytes, ...]
    unnamed: int
    stretches: tuple[Stretch, ...]

    @property
    def rows(self) -> int:
        """How many rows are lost."""
        return len(self.keys) + self.unnamed

    def named(self, most: int | None = None) -> list[str]:
        """The keys for people, up to so many; none where rows are known by their content."""
        keys = list(self.keys[:most])
        if not keys or not any(part.name for part in self.parts):
            return []
        cells = decode_equal(self.parts, Cells.of(keys, width=width_of(self.parts)))
        shown = [
            [_word(display(part.type, cell)) for cell in own.to_list()]
            for part, own in zip(self.parts, cells, strict=True)
        ]
        return [",".join(words) for words in zip(*shown, strict=True)]

    @property
    def words(self) -> str:
        """What is lost, in a sentence that names the first rows."""
        named = self.named(_TOLD)
        told = f": {'; '.join(named)}" if named else ""
        told += f" and {self.rows - len(named):,} more" if named and self.rows > len(named) else ""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"table {self.table}: {rows if self.stretches else f'all of it ({rows})'} lost to damage{told}"


def _word(value: Any) -> str:
    return f"0x{value['hex']}" if isinstance(value, dict) and "hex" in value else str(value)


@dataclass(frozen=True, slots=True)
class CutPlan:
    """A damaged snapshot, the rows it loses, the sources of which all but the tables is lost, and the damaged packs."""

    snapshot: Snapshot
    lost: tuple[LostRows, ...]
    objects: tuple[str, ...]
    packs: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows are lost."""
        return sum(one.rows for one in self.lost if one.source != TOUCHED)


def plan_cut(
    repository: Repository, snapshots: Sequence[Snapshot] | None = None, *, progress: Progress = silent
) -> list[CutPlan]:
    """What would be cut off each of these snapshots (all by default) that is damaged. Reads every byte.

    Raises as verify does. A snapshot whose manifest cannot be read is not among them: nothing can be cut off it.
    """
    damaged = verify(repository, snapshots=snapshots, read_data=True, progress=progress).damaged
    plans = []
    for snapshot in repository.snapshots() if snapshots is None else snapshots:
        own = [one for one in damaged if one.blob is not None and snapshot.id in one.snapshots]
        if own:
            plans.append(_plan(repository, snapshot, own))
    return plans


def cut(repository: Repository, plan: CutPlan, *, progress: Progress = silent) -> Snapshot:
    """Commit a snapshot without what is lost; tagged `cut`, and saying which rows of which. The damaged one stays, and
    the packs with the damage are condemned.

    Raises `NotFound` if that has been removed, and `Corrupt` for damage that the plan does not know of.
    """
    snapshot = plan.snapshot
    heart = Heartbeat(repository, repository.begin(roots=snapshot.digests()))
    progress = heart.progress(progress)
    try:
        if not repository.has(snapshot.id):
            raise NotFound(f"the snapshot {snapshot.id[:8]} has been removed", hint="`snap list` shows the others.")
        with repository.blobs.writer(bytes.fromhex(heart.pending.id)) as writer:
            sources = tuple(_source(repository, own, plan, writer, progress) for own in snapshot.sources)
            touched = _tables(repository, TOUCHED, snapshot.touched, plan, writer, progress)
            writer.close()
        rows = "1 row" if plan.rows == 1 else f"{plan.rows:,} rows"
        words = f"{snapshot.id[:8]} without {rows} lost to damage"
        made = dataclasses.replace(
            snapshot,
            # Right after the damaged one, which is still there: of both this is the `latest`.
            time=snapshot.time + timedelta(microseconds=1),
            tags=tuple(dict.fromkeys([*snapshot.tags, TAG])),
            description=f"{snapshot.description} ({words})" if snapshot.description else words,
            origin=None,
            sources=sources,
            touched=touched,
            version=0,
        )
        condemn_damaged(repository.blobs, plan.packs)
        return repository.commit(heart.pending, made)
    except BaseException:
        with suppress(Unavailable):
            repository.abandon(heart.pending)
        raise


def _plan(repository: Repository, snapshot: Snapshot, damaged: Sequence[Damage]) -> CutPlan:
    stretches: dict[tuple[str, str], list[Stretch]] = {}
    for one in damaged:
        for rows in one.rows:
            stretches.setdefault((rows.source, rows.table), []).append(Stretch(rows.after, rows.upto))
    entries = {(own.name, table.name): table for own in snapshot.sources for table in own.tables}
    entries.update({(TOUCHED, table.name): table for table in snapshot.touched})
    lost = [_lost(repository, *place, entries[place], own) for place, own in stretches.items()]
    bad = {one.blob for one in damaged}
    objects = tuple(own.name for own in snapshot.sources if own.objects in bad)
    packs = tuple(sorted({one.pack for one in damaged if one.pack is not None}))
    return CutPlan(snapshot, tuple(lost), objects, packs)


def _lost(
    repository: Repository, source: str, table: str, entry: SnapshotTable, stretches: Sequence[Stretch]
) -> LostRows:
    tree = _opened(repository, entry)
    if tree is None:
        return LostRows(source, table, (), (), entry.rows, ())
    keys: list[bytes] = []
    unnamed = 0
    for divided in rows_outside(tree, stretches, keeping=False):
        keys += [key or b"" for key in (divided.lost.to_list() if divided.lost is not None else ())]
        unnamed += divided.unnamed
    return LostRows(source, table, tree.table.key, tuple(keys), unnamed, tuple(stretches))


def _opened(repository: Repository, entry: SnapshotTable) -> TableTree | None:
    try:
        return None if entry.root is None else TableTree.open(entry.root, repository.blobs)
    except (Corrupt, NotFound):
        return None


def _source(
    repository: Repository, own: SnapshotSource, plan: CutPlan, writer: BlobWriter, progress: Progress
) -> SnapshotSource:
    told = [one.words for one in plan.lost if one.source == own.name]
    # A safety snapshot has one source: an undo then does not set these rows back.
    told += [f"keys of rows that the restore touched: {one.words}" for one in plan.lost if one.source == TOUCHED]
    objects = own.objects
    if own.name in plan.objects:
        told.append("everything beside its tables: lost to damage")
        objects = None
    return dataclasses.replace(
        own,
        objects=objects,
        # Whoever goes by this snapshot next must read everything: some of it is lost, not unchanged.
        context={} if told else own.context,
        missing=(*own.missing, *told),
        tables=_tables(repository, own.name, own.tables, plan, writer, progress),
    )


def _tables(
    repository: Repository,
    source: str,
    entries: Sequence[SnapshotTable],
    plan: CutPlan,
    writer: BlobWriter,
    progress: Progress,
) -> tuple[SnapshotTable, ...]:
    lost: Mapping[str, LostRows] = {one.table: one for one in plan.lost if one.source == source}
    tables = []
    for entry in entries:
        if entry.name not in lost:
            tables.append(dataclasses.replace(entry, hints=sound_hints(repository, entry)))
        elif lost[entry.name].stretches and entry.root is not None:
            tables.append(_without(repository, entry, lost[entry.name], writer, progress))
    return tuple(tables)


def _without(
    repository: Repository, entry: SnapshotTable, lost: LostRows, writer: BlobWriter, progress: Progress
) -> SnapshotTable:
    """The table of all other rows; hints are not worth building again."""
    assert entry.root is not None
    tree = TableTree.open(entry.root, repository.blobs)
    builder = TreeBuilder(tree.table, repository.cut_key, writer)
    for divided in rows_outside(tree, lost.stretches):
        if divided.kept is not None and len(divided.kept):
            builder.add(divided.kept)
            progress(entry.name, builder.rows, entry.rows)
    root = builder.finish()
    if builder.rows != entry.rows - lost.rows:
        raise Corrupt(
            f"{entry.name}: {builder.rows:,} rows are left where {entry.rows - lost.rows:,} should be",
            hint="Nothing was committed. Verify again: the repository may have changed since.",
        )
    return dataclasses.replace(entry, rows=builder.rows, root=root, hints=None, added=None, changed=None, removed=None)
