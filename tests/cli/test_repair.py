"""`snap repair` mends what verify names, says what it did, and names the rows that nobody can bring back."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command import Snap, rows, run
from tests.cli.test_verify import packs


def damage(folder: Path) -> None:
    """A bit in every pack."""
    for pack in packs(folder):
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)


def test_damage_is_healed_from_a_copy_or_the_live_source(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    snap("init", "there")
    snap("copy", "--all", "--to", "there")
    for words in (["--from", "there"], ["--from-source", url]):
        damage(folder)
        told = snap("verify", "--read-data", code=4)
        assert "snap repair heal" in told.stderr
        if words[0] == "--from":
            alone = snap("repair", "heal", code=4)
            assert "damaged still" in alone.stdout
            assert "snap repair cut" in alone.stderr
            assert snap.json("verify", "--read-data", code=4)["harmless"] == [], "condemned, and needed"
            assert "snap repair cut" in snap("gc", "--keep-all", code=4).stderr
        healed = snap.json("repair", "heal", *words)
        assert healed["healed"]
        assert healed["left"] == []
        whole = snap("verify", "--read-data")
        assert "no damage" in whole.stdout
        assert "gc --keep-all` deletes what is condemned" in whole.stderr
        snap("gc", "--keep-all")
        snap("verify", "--read-data")
    assert "no damage" in snap("repair", "heal").stdout
    assert snap.error("repair", "heal", "--from", ".snapstore", code=2)["message"].endswith("itself")


def test_rows_that_nobody_has_are_cut_off_and_named(snap: Snap, url: str, folder: Path) -> None:
    run(
        url,
        "CREATE TABLE notes (who text, n int, body text, PRIMARY KEY (who, n));"
        "INSERT INTO notes SELECT 'ann', n, string_agg(md5((n * m)::text), '') "
        "FROM generate_series(1, 200) n, generate_series(1, 40) m GROUP BY n",
    )
    taken = snap.json("take", url, "--table", "notes", "--description", "notes")["snapshot"]
    largest = max(packs(folder), key=lambda pack: pack.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(data)
    planned = snap.json("repair", "cut", "--dry-run")["cut"]
    assert [(one["snapshot"], one["cut"]) for one in planned] == [(taken, None)]
    assert snap.error("repair", "cut", code=2)["message"] == "nobody is there to be asked"
    (made,) = snap.json("repair", "cut", "--yes")["cut"]
    (table,) = made["tables"]
    assert 0 < made["rows"] == len(table["keys"]) < 200
    assert all(key.startswith("ann,") for key in table["keys"])
    shown = snap.json("show", "latest")
    assert (shown["snapshot"], shown["tags"], shown["rows"]) == (made["cut"], ["cut"], 200 - made["rows"])
    assert shown["sources"][0]["missing"][0].startswith(f"table public.notes: {made['rows']} rows lost to damage: ann,")
    # A restore brings the others back, and takes none of the lost ones for rows that were not there.
    run(url, f"DELETE FROM notes WHERE n = {min({*range(1, 201)} - {int(key[4:]) for key in table['keys']})}")
    snap("restore", "latest", "--exact", "--yes")
    assert rows(url, "SELECT count(*) FROM notes") == [(200,)]
    snap("rm", taken)
    snap("gc", "--keep-all")
    snap("verify", "--read-data")
    assert snap.json("repair", "cut", "--yes")["cut"] == []
    assert "no snapshot has damage" in snap("repair", "cut").stdout


def test_an_index_is_rebuilt(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    assert "as it should be" in snap("repair", "index").stdout
    for segment in (folder / ".snapstore" / "index").glob("*"):
        segment.chmod(0o600)
        segment.write_bytes(segment.read_bytes()[:-3])
    assert "snap repair index" in snap.error("take", url, code=4)["hint"]
    assert "rebuilt the index" in snap("repair", "index").stdout
    snap("verify", "--read-data")
    assert snap.json("repair", "index")["rebuilt"] is False
