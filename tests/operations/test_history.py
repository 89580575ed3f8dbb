"""The history of a row and of a word is what every snapshot says, read one by one; and little is read for it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest
from snapstore.errors import Corrupt, Invalid, NotFound
from snapstore.operations.chain import chains
from snapstore.operations.find import find
from snapstore.operations.log import log
from snapstore.operations.needle import Needle
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.rows import Column, KeyPart, Table
from snapstore.sources.display import texts
from snapstore.tree import reference
from snapstore.tree.reader import TableTree
from snapstore.tree.values import resolve
from tests.operations.sample import START, Rows, Take

NOTES = Table(
    "public.notes",
    (KeyPart("id", "pg_catalog.int4", "int4"),),
    (Column("body", "pg_catalog.text"), Column("heat", "pg_catalog.float4", 4), Column("tags", "pg_catalog.jsonb")),
)
WIDER = dataclasses.replace(NOTES, columns=(Column("more", "pg_catalog.text"), *NOTES.columns))


class Counted(BlobStore):
    """Blobs, and those that were asked for."""

    def __init__(self, of: BlobStore) -> None:
        super().__init__(of.backend)
        self.read: list[Digest] = []

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        self.read += digests
        return super().get_many(digests)


def taken(repository: Repository, held: Rows, at: int, table: Table = NOTES) -> Snapshot:
    running = Take(repository)
    running.write(held, table=table)
    return running.commit(at=at)


words = st.sampled_from(
    [
        None,
        b"",
        b"tea",
        b"green Tea",
        "Stra\u00dfe \u212aelvin".encode(),
        b"x" * 600 + b" tea",
        b"y" * 70_000 + b"tea",
        b"tt",
    ]
)
json = st.sampled_from([None, b"\1[]", b'\1["tea"]'])
heat = st.sampled_from([None, b"heat", b"cold"])
states = st.lists(
    st.dictionaries(st.sampled_from([*range(40), 1000, 5000]), st.tuples(words, heat, json), max_size=30)
    | st.builds(lambda cells: dict.fromkeys(range(300), cells), st.tuples(words, heat, json)),
    min_size=1,
    max_size=6,
)


def naive_versions(history: Sequence[tuple[Table, Rows]], needle: Needle) -> dict[tuple[int, str, bytes], list[int]]:
    """By row, column and cell the numbers of the snapshots that hold it, all rows of all snapshots read."""
    found: dict[tuple[int, str, bytes], list[int]] = {}
    for at, (table, rows) in enumerate(history):
        for id_, cells in rows.items():
            for column, cell in zip(table.columns, cells, strict=True):
                if column.name == "heat" or cell is None:
                    continue
                if any(needle.span(text) for text in texts(column.type, cell)):
                    found.setdefault((id_, column.name, cell), []).append(at)
    return found


@given(states, st.sets(st.integers(0, 5)), st.sampled_from(["plain", "any case", "pattern"]))
def test_what_is_found_is_what_reading_every_snapshot_finds(history: list[Rows], wide: set[int], how: str) -> None:
    repository = Repository.init(MemoryBackend())
    shown: list[tuple[Table, Rows]] = [
        (WIDER, {id_: (b"more tea", *cells) for id_, cells in rows.items()}) if at in wide else (NOTES, rows)
        for at, rows in enumerate(history)
    ]
    ids = [taken(repository, rows, at, table).id for at, (table, rows) in enumerate(shown)]
    text = {"plain": "tea", "any case": "STRASSE k", "pattern": "^(green )?[Tt]ea$|\\btea\\b"}[how]
    needle = Needle(text, regex=how == "pattern", ignore_case=how == "any case")
    found = list(find(repository, chains(repository.snapshots()), needle))
    told = {
        (
            int.from_bytes(one.key, "big") - (1 << 31),
            one.column.name,
            resolve(one.cell, repository.blobs)[0] or b"",
        ): (one.first.id, one.last.id, one.held)
        for one in found
    }
    assert len(told) == len(found), "a version is named once"
    wanted = {version: (ids[at[0]], ids[at[-1]], len(at)) for version, at in naive_versions(shown, needle).items()}
    assert told == wanted


@given(states, st.sets(st.integers(0, 5)), st.sampled_from([0, 7, 299, 5000]))
def test_the_history_of_a_row_is_what_every_snapshot_says(history: list[Rows], wide: set[int], id_: int) -> None:
    repository = Repository.init(MemoryBackend())
    shown: list[tuple[Table, Rows]] = [
        (WIDER, {one: (b"more", *cells) for one, cells in rows.items()}) if at in wide else (NOTES, rows)
        for at, rows in enumerate(history)
    ]
    for at, (table, rows) in enumerate(shown):
        taken(repository, rows, at, table)
    (chain,) = chains(repository.snapshots())
    rows_then = [
        {column.name: cell for column, cell in zip(table.columns, rows[id_], strict=True)} if id_ in rows else None
        for table, rows in shown
    ]
    if not any(rows_then):
        with pytest.raises(NotFound):
            log(repository, chain, str(id_))
        return
    told = log(repository, chain, str(id_))
    assert (told.held, told.looked_at) == (sum(row is not None for row in rows_then), len(history))
    events = {event.after.id: event for event in told.events}
    assert len(events) == len(told.events)
    ids = [step.snapshot.id for step in chain.steps]
    was: dict[str, bytes | None] | None = None
    known: dict[str, bytes | None] = {}
    for at, (id_now, row) in enumerate(zip(ids, rows_then, strict=True)):
        event = events.pop(id_now, None)
        if row == was:
            assert event is None
            continue
        assert event is not None
        assert (event.before and event.before.id) == (ids[at - 1] if at else None)
        if row is None:
            assert event.what == "vanished"
        else:
            assert event.what == ("changed" if was is not None else "returned" if known else "appeared")
            fields = {
                field.name: tuple(cell and resolve(cell, repository.blobs)[0] for cell in (field.before, field.after))
                for field in event.fields
            }
            differing = {name for name in known.keys() | row if known.get(name, 0) != row.get(name, 0)}
            if known:
                assert fields == {name: (known.get(name), row.get(name)) for name in differing}
            known = row
        if event.row is not None:
            told_row = [resolve(cells, repository.blobs)[0] for cells in event.row.columns]
            assert told_row == [known[column.name] for column in event.table.columns]
        was = row
    assert not events


def test_a_year_of_a_row_reads_each_blob_on_its_way_once() -> None:
    repository = Repository.init(MemoryBackend())
    rows: Rows = {id_: (b"note %d" % id_, b"heat", b"\1[]") for id_ in range(3000)}
    days = 30
    for day in range(days):
        for at in range(30):
            rows[(at * 101 + day) % 3000] = (b"note of day %d" % day, b"cold", b"\1[]")
        taken(repository, rows, day)
    (chain,) = chains(repository.snapshots())
    repository.blobs = counted = Counted(repository.blobs)
    log(repository, chain, "777")
    # A table blob a day, three levels of two columns a day where they changed at all, and one way down the keys.
    assert len(counted.read) == len(set(counted.read))
    assert len(counted.read) <= days * (1 + 2 * 3) + 5
    counted.read.clear()
    list(find(repository, [chain], Needle("nothing like it")))
    assert len(counted.read) <= len(set(counted.read)) + 3, "a chunk that comes back is read again"
    changed_leaves = days * 30
    assert len(counted.read) <= 3000 / 20 + changed_leaves + days * (1 + 2 * (1 + 30)), "only what differs"


def test_a_snapshot_that_does_not_know_is_not_taken_for_a_deletion() -> None:
    repository = Repository.init(MemoryBackend())
    row: Rows = {7: (b"tea", b"heat", None)}
    taken(repository, row, 0)
    narrowed = Take(repository)
    narrowed.write({8: (b"other", b"heat", None)}, table=NOTES)
    narrowed.tables[0] = dataclasses.replace(narrowed.tables[0], where="heat > 1")
    narrowed.commit(at=1)
    other = Take(repository)
    other.commit(at=2, sources=(source(tables=["public.visits"]),))
    safety = Take(repository)
    safety.commit(at=3, safety="0" * 32)
    taken(repository, row, 4)
    (chain,) = chains(repository.snapshots())
    told = log(repository, chain, "7")
    assert [event.what for event in told.events] == ["appeared"]
    assert told.is_there
    assert sorted(one.why.partition(" the")[0] for one in told.unknown) == [
        "it holds only some of",
        "it was not asked for",
    ]
    gone = Take(repository)
    gone.commit(at=5, sources=(source(tables=[]),))
    (chain,) = chains(repository.snapshots())
    assert [event.what for event in log(repository, chain, "7").events] == ["appeared", "vanished"]
    (found,) = find(repository, [chain], Needle("tea"))
    assert (found.first.time, found.last.time.hour, found.held) == (START, 4, 2)


def source(tables: list[str]) -> SnapshotSource:
    return SnapshotSource(
        "agents", "postgresql", "postgresql://localhost/agents", (), selection={"tables": tables, "exclude": []}
    )


def test_a_restore_into_another_database_is_a_history_of_its_own() -> None:
    repository = Repository.init(MemoryBackend())
    taken(repository, {7: (b"tea", None, None)}, 0)
    running = Take(repository)
    running.write({7: (b"coffee", None, None)}, table=NOTES)
    elsewhere = SnapshotSource("agents", "postgresql", "postgresql://localhost/copy", tuple(running.tables))
    running.commit(at=1, safety="0" * 32, sources=(elsewhere,))
    taken(repository, {7: (b"tea", None, None)}, 2)
    own, copy = chains(repository.snapshots())
    assert (own.elsewhere, copy.elsewhere) == ("", "postgresql://localhost/copy")
    assert [event.what for event in log(repository, own, "7").events] == ["appeared"]
    assert [one.chain.elsewhere for one in find(repository, [own, copy], Needle("coffee"))] == [copy.elsewhere]


def test_text_in_keys_is_found_and_keys_may_change_their_type() -> None:
    repository = Repository.init(MemoryBackend())
    by_name = dataclasses.replace(NOTES, key=(KeyPart("name", "pg_catalog.text", "bytes"),))
    taken(repository, {7: (b"tea", None, None)}, 0)
    running = Take(repository)
    running.write({int.from_bytes(b"tea!", "big") - (1 << 31): (b"tea", None, None)}, table=by_name)
    running.commit(at=1)
    found = list(find(repository, chains(repository.snapshots()), Needle("tea")))
    assert [(one.column.name, one.held) for one in found] == [("body", 1), ("name", 1), ("body", 1)]
    (chain,) = chains(repository.snapshots())
    told = log(repository, chain, "7")
    assert [event.what for event in told.events] == ["appeared", "vanished"]
    with pytest.raises(NotFound, match="no snapshot holds a row 'nobody'"):
        log(repository, chain, "nobody")


def test_what_cannot_be_read_is_an_error_and_not_a_silence() -> None:
    backend = MemoryBackend()
    repository = Repository.init(backend)
    taken(repository, dict.fromkeys(range(7), (b"tea", None, None)), 0)
    taken(repository, {id_: (b"%d" % id_ * 40, None, None) for id_ in range(700)}, 1)
    (chain,) = chains(repository.snapshots())
    for entry in list(backend.list("packs/"))[1:]:
        backend.delete(entry.name)
    with pytest.raises((NotFound, Corrupt)):
        list(find(Repository.open(backend), [chain], Needle("tea")))
    with pytest.raises((NotFound, Corrupt)):
        log(Repository.open(backend), chain, "3")


@pytest.mark.parametrize(("text", "regex"), [("", False), ("(", True), ("\udc80", False)])
def test_what_cannot_be_looked_for_is_refused(text: str, regex: bool) -> None:
    with pytest.raises(Invalid):
        Needle(text, regex=regex)


@given(st.text(max_size=12), st.text(min_size=1, max_size=3), st.binary(max_size=6))
@example("", "a\0b", b"")
def test_a_quick_look_never_misses(text: str, part: str, around: bytes) -> None:
    for needle in (Needle(part), Needle(part, ignore_case=True), Needle(re.escape(part), regex=True)):
        for held in (text, text + part, part + text, (text + part).swapcase()):
            if needle.span(held) is not None:
                assert needle.may_stand_in(around + held.encode() + around[::-1])
                assert needle.may_stand_in(around + held.encode().replace(b"\0", b"\0\xff") + b"\0\0"), "as in a key"


@given(st.lists(st.text("tea", max_size=4), max_size=6), st.text("tea", min_size=1, max_size=2))
def test_where_a_word_may_begin_misses_no_cell_that_holds_it(cells: list[str], word: str) -> None:
    ends = [len("".join(cells[:at])) for at in range(len(cells) + 1)]
    starts = Needle(word).starts("".join(cells).encode())
    assert starts is not None
    for begin, end, cell in zip(ends, ends[1:], cells, strict=False):
        assert word not in cell or any(begin <= start < end for start in starts)
    assert Needle(word, ignore_case=True).starts(b"tea") is None
    assert Needle(word, regex=True).starts(b"tea") is None


def test_a_word_over_two_cells_is_in_neither() -> None:
    repository = Repository.init(MemoryBackend())
    taken(repository, {1: (b"t", None, None), 2: (b"", None, None), 3: (b"ea", None, None), 4: (b"tea", None, None)}, 0)
    found = list(find(repository, chains(repository.snapshots()), Needle("tea")))
    assert [int.from_bytes(one.key, "big") - (1 << 31) for one in found] == [4]


@pytest.mark.parametrize(
    ("column_type", "cell"),
    [
        ("file.content", b"na\xefve tea\n"),
        ("public.hstore", b"\0\0\0\1\0\0\0\1a\0\0\0\xc8" + b"tea " * 50),
        ("public.citext", b"tea\n\xe9"),
    ],
)
def test_bytes_that_are_no_utf8_do_not_hide_the_words_beside_them(column_type: str, cell: bytes) -> None:
    repository = Repository.init(MemoryBackend())
    table = Table(NOTES.name, NOTES.key, (Column("body", column_type), Column("more", "public.sparsevec")))
    taken(repository, {1: (cell, b"\xfftea"), 2: (b"\xe9", None)}, 0, table)
    for needle in (Needle("tea"), Needle("TEA", ignore_case=True), Needle("t[e]a", regex=True)):
        (found,) = find(repository, chains(repository.snapshots()), needle)
        assert found.column.name == "body", "a vector has no words"


def test_the_place_of_what_was_found_is_told_in_the_text_as_it_stands() -> None:
    needle = Needle("k\u00f6ln", ignore_case=True)
    text = "Stra\u00dfe nach K\u00d6LN"
    assert text[slice(*(needle.span(text) or (0, 0)))] == "K\u00d6LN"


def test_a_word_that_comes_and_goes_in_a_table_that_grows_and_shrinks_is_what_every_snapshot_says() -> None:
    repository = Repository.init(MemoryBackend())
    history: list[Rows] = []
    for day, size in enumerate([3, 3, 900, 1500, 1500, 1500, 40, 1500, 3000, 3000, 3000, 5, 0, 900, 900, 901, 902, 3]):
        rows: Rows = {id_: (b"note %d" % id_, b"heat", None) for id_ in range(size)}
        for id_ in (2, 700, 701, 1499, 2900):
            if id_ < size and (day + id_) % 4:
                rows[id_] = (b"green tea" if id_ % 2 else b"x" * 600 + b" tea", None, b'\1["tea"]' if day > 9 else None)
        history.append(rows)
    ids = [taken(repository, rows, at).id for at, rows in enumerate(history)]
    for needle in (Needle("tea"), Needle("TEA", ignore_case=True), Needle("[t]ea$", regex=True)):
        found = {
            (
                int.from_bytes(one.key, "big") - (1 << 31),
                one.column.name,
                resolve(one.cell, repository.blobs)[0] or b"",
            ): (one.first.id, one.last.id, one.held)
            for one in find(repository, chains(repository.snapshots()), needle)
        }
        wanted = naive_versions([(NOTES, rows) for rows in history], needle)
        assert found == {version: (ids[at[0]], ids[at[-1]], len(at)) for version, at in wanted.items()}


def test_no_key_is_read_where_no_chunk_holds_the_word() -> None:
    repository = Repository.init(MemoryBackend())
    rows: Rows = {id_: (b"note %d" % id_, b"heat", b"\1[]") for id_ in range(3000)}
    for day in range(20):
        rows[(day * 101) % 3000] = (b"note of day %d" % day, b"cold", b"\1[]")
        rows[5000 + day] = (b"new", b"cold", b"\1[]")
        taken(repository, rows, day)
    (chain,) = chains(repository.snapshots())
    keys = set()
    for step in chain.steps:
        assert step.table is not None
        assert step.table.root is not None
        tree = TableTree.open(step.table.root, repository.blobs)
        keys |= {span.refs[0] for spans in tree.leaves([]) for span in spans}
    repository.blobs = counted = Counted(repository.blobs)
    assert not list(find(repository, [chain], Needle("nothing like it")))
    assert not keys & {reference.blob(name, spills=False) for name in counted.read}
    counted.read.clear()
    (one,) = find(repository, [chain], Needle("note 2222"))
    assert one.held == 20
    read = [name for name in counted.read if reference.blob(name, spills=False) in keys]
    assert len(read) == 1, "the keys of the one chunk that holds it"
