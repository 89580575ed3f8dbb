"""What an export writes, an import reads back to the bit, in every format; files that changed are refused."""

from __future__ import annotations

import json
import math
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore import tagged
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Corrupt, Exists, Invalid, NotFound, Unsupported
from snapstore.operations.archive import Archive
from snapstore.operations.export import Choice, Exported, checksums, combined, export, export_from
from snapstore.operations.formats import Csv, Format, JsonLines, from_text, to_text
from snapstore.operations.guess import guess_roles
from snapstore.operations.importing import ExportSource, read_export
from snapstore.operations.parquet import EXACT, Arrow
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, plan_restore
from snapstore.operations.rowfiles import rows_in
from snapstore.operations.state import of_snapshot
from snapstore.operations.take import Request, take
from snapstore.plainjson import dump
from snapstore.repository import Repository, Snapshot
from snapstore.rows import Cells
from snapstore.sources import Selection
from snapstore.sources.plain import HEX, Form
from snapstore.sources.roles import Roles
from tests.operations import sample
from tests.operations.world import World, roots

READ_BACK = [Format.JSON, Format.JSONL, Format.PARQUET]

EVERYTHING = r"""
CREATE EXTENSION vector;
CREATE TYPE mood AS ENUM ('calm', 'odd, "quoted"');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE memories (
  id bigint PRIMARY KEY, content text, embedding vector(3), half halfvec(2), sparse sparsevec(9), heat real,
  score float8, user_id text, tags text[], moods mood[], mood mood, pair pair, metadata jsonb, raw json,
  at timestamptz, day date, age interval, price numeric, is_old boolean,
  uid uuid, data bytea, addr inet, span int4range, bits varbit, box box
);
INSERT INTO memories (id, content, embedding, heat, score, user_id, tags, metadata, raw, at, day, price, is_old, uid,
    data, moods, mood, pair, half, sparse, age, addr, span, bits, box) VALUES
  (1, 'plain', '[0.1,-2.5e-8,3]', 0.1, 0.1, 'ann', '{a,NULL,"b,c"}', '{"a": [1, 2.5, null], "b": {"c": "ü"}}',
   '{ "b" :1 }', '2026-01-31 12:00:00.5+02', '2026-01-31', 1.50, true, gen_random_uuid(), '\x00ff', '{calm}', 'calm',
   '(1,x)', '[0.1,2]', '{1:0.5}/9', '1 mon 2 days 03:00', '10.0.0.1/8', '[1,5)', B'101', '((0,0),(1,1))'),
  (2, '', '[0,-0,1]', 'NaN', '-Infinity', 'bob', '{}', '"text"', '1.10', '0044-03-15 BC', 'infinity', 'NaN', false,
   NULL, '', NULL, 'odd, "quoted"', NULL, NULL, NULL, '-5 days', '::1', 'empty', B'', NULL),
  (3, E'"quotes", commas,\nlines\r\nand {"$hex" in it', NULL, 1e-45, 5e-324, 'ann', '[5:6]={x,y}', 'null', 'null',
   '-infinity', '0001-01-01', 12345678901234567890.000100, NULL, NULL, NULL, NULL, NULL, '(,)', NULL, NULL, NULL, NULL,
   NULL, NULL, NULL),
  (4, '{"$hex": "00"}', '[1,2,3]', 16777216, 1e22, NULL, '{"{1,2}"}',
   '{"$hex": "00", "n": 123456789012345678901234567890}', '"\ud83d\ude00"', '2026-02-28', '2026-02-28', -0.00, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE relationships (source_id bigint REFERENCES memories, target_id bigint REFERENCES memories, kind text,
  weight real, PRIMARY KEY (source_id, target_id));
INSERT INTO relationships VALUES (1, 3, 'follows', 0.5), (1, 2, 'contradicts', 1), (3, 1, NULL, NULL);
CREATE TABLE "Odd ""name"", with/everything" ("a,b" numeric PRIMARY KEY, " " text);
INSERT INTO "Odd ""name"", with/everything" VALUES (1.50, 'x'), (-0.001, NULL), ('NaN', '');
CREATE TABLE log (line text, n int);
INSERT INTO log VALUES ('same', 1), ('same', 1), ('other', NULL);
CREATE TABLE empty_one (id text PRIMARY KEY);
CREATE VIEW hot AS SELECT * FROM memories WHERE heat > 0.7;
"""

ODD = 'public."Odd ""name"", with/everything"'


def exported(world: World, snapshot: Snapshot, folder: Path, form: Format, choice: Choice | None = None) -> Exported:
    state = of_snapshot(world.repository, snapshot)
    roles = guess_roles([own.table for own in state.tables])
    return export_from(world.repository, snapshot, state, folder, form, choice, roles=roles)


def imported(folder: Path) -> tuple[Repository, Snapshot]:
    repository = Repository.init(MemoryBackend())
    found = read_export(folder)
    requests = [Request(name, ExportSource(found, name)) for name in found.sources]
    return repository, take(repository, requests).snapshot


@pytest.fixture
def world(tmp_path: Path, databases: Callable[..., str]) -> World:
    world = World(Repository.init(MemoryBackend()), databases())
    world.run(EVERYTHING)
    return world


def test_every_format_is_read_back_to_the_bit(world: World, databases: Callable[..., str], tmp_path: Path,
                                              pg_dump: Callable[..., str]) -> None:  # fmt: skip
    snapshot = world.take()
    repository, again = world.repository, snapshot
    for form in READ_BACK:
        exported(world, snapshot, tmp_path / form, form)
        repository, again = imported(tmp_path / form)
        assert roots(again) == roots(snapshot), form
        assert not again.sources[0].missing
    elsewhere = World(repository, databases())
    elsewhere.restore(again)
    assert pg_dump(elsewhere.url) == pg_dump(world.url)


def test_a_csv_has_all_but_the_vectors_and_says_so(world: World, tmp_path: Path) -> None:
    snapshot = world.take()
    told = exported(world, snapshot, tmp_path / "csv", Format.CSV)
    assert told.missing == ("public.memories: without its vectors (embedding, half)",)
    _, again = imported(tmp_path / "csv")
    before, after = roots(snapshot), roots(again)
    assert {name for name in before if before[name] != after[name]} == {"public.memories"}
    (missing,) = again.sources[0].missing
    assert missing == "the export has no embedding, half (public.memories)"
    lines = (tmp_path / "csv/memories.csv").read_text(encoding="utf-8")
    assert lines.startswith("id,content,sparse,heat,")
    assert "1,plain," in lines
    assert '2,"",' in lines


def test_the_document_reads_as_people_expect(world: World, tmp_path: Path) -> None:
    exported(world, world.take(), tmp_path / "json", Format.JSON)
    document = json.loads((tmp_path / "json/export.json").read_bytes())
    assert document.keys() == {"memories", "relationships", "tables", "metadata"}
    first = document["memories"][0]
    assert first["content"] == "plain"
    assert first["embedding"] == [0.1, -2.5e-8, 3.0]
    assert first["heat"] == 0.1
    assert first["tags"] == ["a", None, "b,c"]
    assert first["metadata"] == {"a": [1, 2.5, None], "b": {"c": "ü"}}
    assert first["at"] == "2026-01-31T10:00:00.5+00:00"
    assert first["age"]["shown"] == "P1M2DT3H"
    assert document["metadata"]["counts"]["memories"] == 4
    assert document["relationships"][0]["kind"] == "contradicts"
    assert set(document["tables"]) == {ODD, "public.log", "public.empty_one"}
    sums = json.loads((tmp_path / "json/checksums.json").read_bytes())
    assert set(sums["files"]) == {"export.json", "metadata.json"}
    assert sums["combined"] == combined(sums["files"])


def test_of_one_user_only_memories_and_what_relates_them(world: World, tmp_path: Path) -> None:
    exported(world, world.take(), tmp_path / "ann", Format.JSON, Choice(vectors=False, user="ann"))
    document = json.loads((tmp_path / "ann/export.json").read_bytes())
    assert [one["id"] for one in document["memories"]] == [1, 3]
    assert "embedding" not in document["memories"][0]
    assert [(one["source_id"], one["target_id"]) for one in document["relationships"]] == [(1, 3), (3, 1)]
    assert document["metadata"]["user_id"] == "ann"
    _, again = imported(tmp_path / "ann")
    assert [one for one in again.sources[0].missing if "of the user ann were exported" in one and "memories" in one]


def test_what_an_export_lacks_is_not_deleted_by_whoever_imports_it(world: World, tmp_path: Path) -> None:
    where = {"public.memories": "id = 1"}
    filtered = take(world.repository, [Request("agents", world.source, Selection(where=where))]).snapshot
    rows = world.value("SELECT count(*) FROM memories")
    cases = (("some", world.take(), Choice(user="ann")), ("of some", filtered, Choice()))
    for name, snapshot, choice in cases:
        exported(world, snapshot, tmp_path / name, Format.JSONL, choice)
        repository, again = imported(tmp_path / name)
        source = again.sources[0].name
        plan = plan_restore(repository, again, world.source, Ask(mode=Mode.EXACT, source=source))
        [memories] = [table for table in plan.tables if table.name == "public.memories"]
        assert (memories.delete, memories.unsure) == (0, rows - memories_held(again))


def memories_held(snapshot: Snapshot) -> int:
    return next(table.rows for table in snapshot.sources[0].tables if table.name == "public.memories")


def test_a_user_needs_a_column_that_names_users(world: World, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="whose a memory is"):
        export(of_snapshot(world.repository, world.take()), tmp_path / "x", Format.JSON, Choice(user="ann"))
    assert not (tmp_path / "x").exists()


def test_the_archive_is_read_by_people(world: World, tmp_path: Path) -> None:
    world.run("UPDATE memories SET content = '# not a heading' || chr(10) || '```' WHERE id = 4")
    exported(world, world.take(), tmp_path / "md", Format.MARKDOWN)
    index = (tmp_path / "md/index.md").read_text(encoding="utf-8")
    assert "graph LR" in index
    assert '-- "follows" -->' in index
    assert "3 of 3 relationships" in index
    (group,) = (tmp_path / "md/groups").iterdir()
    text = group.read_text(encoding="utf-8")
    assert "## 1 (cold)\n\n> plain\n" in text
    assert "> # not a heading\n> ```\n" in text
    assert "## 4 (hot)" in text
    assert "- embedding: `3 dimensions`" in text
    with pytest.raises(Invalid, match="for reading"):
        read_export(tmp_path / "md")


@pytest.mark.parametrize("is_read", [False, True])
def test_parquet_without_its_library_says_how_to_get_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    snapshot = world.take()
    if is_read:
        exported(world, snapshot, tmp_path / "out", Format.PARQUET)
    monkeypatch.delitem(sys.modules, "snapstore.operations.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Unsupported, match="pyarrow") as caught:
        imported(tmp_path / "out") if is_read else exported(world, snapshot, tmp_path / "out", Format.PARQUET)
    assert "snapstore[parquet]" in caught.value.hint


def test_a_folder_that_holds_something_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine", encoding="utf-8")
    with pytest.raises(Exists):
        exported(world, world.take(), tmp_path / "mine", Format.JSON)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("form", READ_BACK)
def test_a_file_that_was_changed_is_refused_by_name(world: World, tmp_path: Path, form: Format) -> None:
    exported(world, world.take(), tmp_path / "out", form)
    for path in sorted((tmp_path / "out").iterdir()):
        data = path.read_bytes() or b"     "
        path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
        with pytest.raises(Corrupt, match=path.name):
            read_export(tmp_path / "out")
        path.write_bytes(data.lstrip(b" "))
    read_export(tmp_path / "out")
    with pytest.raises(NotFound):
        read_export(tmp_path)


def test_a_document_cut_short_is_refused_even_with_sums_that_fit(world: World, tmp_path: Path) -> None:
    exported(world, world.take(), tmp_path / "out", Format.JSONL)
    path, sums = tmp_path / "out/memories.jsonl", tmp_path / "out/checksums.json"
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-2]) + b"\n")
    files = checksums(tmp_path / "out")
    sums.write_bytes(orjson.dumps({"files": files, "combined": combined(files)}))
    with pytest.raises(Corrupt, match=r"has 3 rows of public\.memories, and the export says 4"):
        imported(tmp_path / "out")


PLAIN = {
    "pg_catalog.int4": st.integers(-(2**31), 2**31 - 1).map(lambda n: struct.pack(">i", n)),
    "pg_catalog.int8": st.integers(-(2**63), 2**63 - 1).map(lambda n: struct.pack(">q", n)),
    "pg_catalog.float4": st.binary(min_size=4, max_size=4),
    "pg_catalog.float8": st.binary(min_size=8, max_size=8),
    "pg_catalog.bool": st.sampled_from([b"\0", b"\1"]),
    "pg_catalog.text": st.text().map(str.encode),
    "pg_catalog.date": st.binary(min_size=4, max_size=4),
    "pg_catalog.timestamptz": st.binary(min_size=8, max_size=8),
    "pg_catalog.numeric": st.binary(min_size=8, max_size=16),
    "pg_catalog.jsonb": st.text().map(lambda text: b"\1" + text.encode()),
    "pg_catalog._text": st.binary(max_size=40),
    "public.whatever": st.binary(max_size=20),
    "sqlite.value": st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary()).map(
        lambda value: tagged.encode([value]).to_list()[0]
    ),
    "sqlite.text": st.binary(max_size=20),
}


@given(st.data())
def test_any_cell_comes_back_from_its_value_as_json_and_as_text(data: st.DataObject) -> None:
    column_type = data.draw(st.sampled_from(sorted(PLAIN)))
    cells: list[bytes | None] = data.draw(st.lists(st.none() | PLAIN[column_type], max_size=5))
    form = Form("c", column_type)
    values = form.values(Cells.of(cells))
    assert form.cells(values).to_list() == cells
    through = json.loads(orjson.dumps(values))
    assert form.cells(through).to_list() == cells
    texts = [None if value is None else from_text(form, to_text(form, value)) for value in values]
    assert form.cells(texts).to_list() == cells


@given(st.lists(st.none() | st.binary(max_size=24), max_size=6), st.sampled_from([4, 2]))
def test_any_vector_comes_back_from_json(cells: list[bytes | None], stride: int) -> None:
    form = Form("v", "public.vector", stride=stride)
    values = form.values(Cells.of(cells))
    through = json.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY))
    assert form.cells(through).to_list() == cells


@given(st.lists(st.lists(st.none() | st.text(), min_size=2, max_size=2), max_size=6))
def test_a_csv_comes_back_whatever_is_in_it(tmp_path_factory: pytest.TempPathFactory, rows: list[list[Any]]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    forms = [Form("a,b", "pg_catalog.text"), Form("c", "sqlite.value")]
    with Csv(folder) as writer, writer.table("t", "", forms) as written:
        written.add([list(column) for column in zip(*rows, strict=True)] or [[], []], len(rows))
    found = [row for group in rows_in(folder / "t.csv", "csv", "t", forms, 2) for row in group]
    assert [[row["a,b"], row["c"]] for row in found] == rows


def test_a_value_of_another_type_is_refused() -> None:
    wrong: list[tuple[str, Any]] = [
        ("pg_catalog.int4", 2**31), ("pg_catalog.int4", "1"), ("pg_catalog.int4", True), ("pg_catalog.bool", 1),
        ("pg_catalog.text", 5), ("pg_catalog.timestamptz", "2026-01-01T00:00:00"), ("pg_catalog.uuid", "x"),
        ("pg_catalog.numeric", "1e5"), ("pg_catalog._int4", [1, "x"]), ("pg_catalog.interval", "P1D"),
    ]  # fmt: skip
    for column_type, value in wrong:
        with pytest.raises(Invalid, match="column c"):
            Form("c", column_type).cells([value])
    with pytest.raises(Invalid):
        Form("v", "public.vector", stride=4).cells([[1.0, math.inf]])
    with pytest.raises(Invalid):
        Form("v", "public.vector", stride=4).cells([[1e300]])
    assert Form("v", "public.vector", stride=4).cells([np.array([1, 2], np.float32)]).to_list() == [
        struct.pack("<2f", 1, 2)
    ]
    assert Form("c", "pg_catalog.interval").cells([{HEX: "00"}]).to_list() == [b"\0"]


def test_the_one_float_that_json_reads_as_another_is_kept_to_the_bit() -> None:
    form = Form("v", "public.vector", stride=4)
    cells = [struct.pack("<2I", 0x15AE43FD, 0x3F800000), struct.pack("<2I", 0x95AE43FD, 0)]
    through = json.loads(orjson.dumps(form.values(Cells.of(cells)), option=orjson.OPT_SERIALIZE_NUMPY))
    assert form.cells(through).to_list() == cells


@pytest.mark.parametrize(
    ("column_type", "text"),
    [("pg_catalog.json", "[" * 300 + "]" * 300), ("qdrant.json", "[" * 300 + "]" * 300), ("qdrant.json", "1" * 30)],
)
def test_json_that_a_writer_cannot_hold_is_kept_as_bytes(column_type: str, text: str) -> None:
    form = Form("c", column_type)
    cells: list[bytes | None] = [text.encode()]
    assert form.cells(json.loads(dump(form.values(Cells.of(cells))))).to_list() == cells


@pytest.mark.parametrize(
    ("column_type", "cell", "value"),
    [
        ("qdrant.json", b'"ann"', "ann"),
        ("qdrant.json", b'{"a":[1,1.0,null]}', {"a": [1, 1.0, None]}),
        ("qdrant.json", b"null", {HEX: "6e756c6c", "shown": None}),
        ("qdrant.json", b'{"$hex":"00"}', {HEX: b'{"$hex":"00"}'.hex(), "shown": {"$hex": "00"}}),
        ("qdrant.id", bytes(16) + b"\7", 7),
        ("qdrant.id", b"\0" + bytes(8) + b"\xff" * 8, {HEX: "00" + "00" * 8 + "ff" * 8, "shown": str(2**64 - 1)}),
    ],
)
def test_values_of_qdrant_are_plain_where_they_come_back(column_type: str, cell: bytes, value: Any) -> None:
    form = Form("c", column_type)
    assert form.values(Cells.of([cell])) == [value]
    for through in (json.loads(dump(value)), from_text(form, to_text(form, value))):
        assert form.cells([through]).to_list() == [cell]


def test_a_sparse_vector_is_shown_as_one_and_comes_back(tmp_path: Path) -> None:
    sparse = struct.pack("<2I2f", 1, 5, 0.5, 0.25)
    forms = [
        Form("s", "qdrant.sparse", stride=4),
        Form("m", "qdrant.multivector(2)", stride=4),
        Form(EXACT, "qdrant.json"),
    ]
    cells = [sparse, struct.pack("<4f", 1, 2, 3, 4), b'"x"']
    values = [form.values(Cells.of([cell])) for form, cell in zip(forms, cells, strict=True)]
    assert values[0][0]["shown"] == {"indices": [1, 5], "values": [0.5, 0.25]}
    assert values[1][0]["shown"] == [[1.0, 2.0], [3.0, 4.0]]
    for form, writer in (("jsonl", JsonLines(tmp_path)), ("parquet", Arrow(tmp_path))):
        with writer, writer.table("t", "", forms) as written:
            written.add(values, 1)
        ((row,),) = rows_in(tmp_path / f"t.{form}", form, "t", forms, 2)
        assert [one.cells([row[one.name]]).to_list()[0] for one in forms] == cells


@pytest.mark.parametrize(
    ("form", "is_lost"), [(Format.JSON, False), (Format.JSONL, True), (Format.PARQUET, False), (Format.MARKDOWN, True)]
)
def test_what_ends_midway_leaves_no_folder_and_no_thread(tmp_path: Path, form: Format, is_lost: bool) -> None:
    backend = MemoryBackend()
    repository = Repository.init(backend)
    snapshot = sample.take(repository, sample.rows(range(6000), elements=2))
    if is_lost:
        pack = max(backend.list("packs/"), key=lambda entry: entry.size_bytes)
        found = backend.get(pack.name)
        middle = len(found.data) // 2
        lost = found.data[:middle] + bytes(1000) + found.data[middle + 1000 :]
        backend.replace(pack.name, lost, tag=found.tag)

    def interrupt(what: str, done: int, total: int | None) -> None:
        if done and not is_lost:
            raise KeyboardInterrupt

    with pytest.raises(Corrupt if is_lost else KeyboardInterrupt):
        export(of_snapshot(repository, snapshot), tmp_path / "out", form, progress=interrupt)
    assert not list(tmp_path.iterdir())
    assert not [one for one in threading.enumerate() if one.name.startswith("snapstore-write")]
    assert all(one.name != "snapstore-read" for one in threading.enumerate())


def test_the_archive_has_no_html_and_no_escape_code_of_a_memory(tmp_path: Path) -> None:
    forms = [Form("id", "sqlite.integer"), Form("content", "sqlite.text"), Form("tag", "sqlite.text")]
    with Archive(tmp_path, Roles(memory="main.memories", content="content"), "x", None) as archive:
        with archive.table("main.memories", "memories", forms) as rows:
            rows.add([[1], ["<script>x</script>\n1 < 2 \x1b[2J"], ["\x1b[31m"]], 1)
        archive.finish({"user_id": None})
    (told,) = [one.read_text(encoding="utf-8") for one in (tmp_path / "groups").iterdir()]
    assert "<script" not in told
    assert "1 < 2" in told
    assert "\x1b" not in told
