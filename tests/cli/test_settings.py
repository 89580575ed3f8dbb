"""Where the repository and the sources come from: options, environment, snap.toml, defaults, in this order."""

from __future__ import annotations

import sys
from pathlib import Path

import apsw
import pytest
from psycopg.conninfo import conninfo_to_dict

from snap_cli.expanding import with_password
from tests.cli.command import Snap


def test_snap_toml_names_repository_and_sources(folder: Path, url: str) -> None:
    snap = Snap(folder)
    (folder / "snap.toml").write_text(
        f'repository = "backups/memory"\n[sources.agents]\nurl = "{url}"\nexclude = ["visits"]\n', encoding="utf-8"
    )
    snap("init")
    assert (folder / "backups" / "memory" / "config").exists()
    taken = snap.json("take")
    assert taken["sources"][0]["name"] == "agents"
    assert [table["name"] for table in taken["sources"][0]["tables"]] == ["public.memories"]
    assert "snap.toml: agents" in snap("status").stderr
    assert snap.json("take", "agents")["sources"][0]["name"] == "agents"


def test_the_nearest_snap_toml_holds_and_its_repository_is_relative_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "snap.toml").write_text('repository = "here"', encoding="utf-8")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    Snap(folder)("init")
    assert (folder / "here" / "config").exists()


def test_the_option_beats_the_environment_which_beats_snap_toml(folder: Path) -> None:
    snap = Snap(folder)
    (folder / "snap.toml").write_text('repository = "c"', encoding="utf-8")
    snap("init", "a")
    snap("init", env={"SNAP_REPO": "b"})
    snap("list", code=10)
    snap("list", env={"SNAP_REPO": "b"})
    snap("list", "-r", "a", env={"SNAP_REPO": "c"})
    snap("-r", "a", "list", env={"SNAP_REPO": "c"})


def test_the_environment_may_name_the_source(snap: Snap, url: str) -> None:
    snap("take", env={"SNAP_SOURCE": url})
    assert "no differences" in snap("status", env={"SNAP_SOURCE": url}).stdout


def test_other_stores_and_missing_libraries_are_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = Snap(folder).error("-r", "sftp://host/x", "list", code=1)
    assert error["code"] == "unsupported"
    assert "sftp://" in error["message"]
    monkeypatch.setitem(sys.modules, "snapstore.backends.cloud", None)
    for place in ("s3://bucket/memory", "gs://bucket", "az://container/x"):
        error = Snap(folder).error("-r", place, "list", code=1)
        assert error["code"] == "unsupported"
        assert "snapstore[cloud]" in error["hint"]


A = "[sources.a]\nurl = 'sqlite:///x'\n"


@pytest.mark.parametrize(
    ("text", "place", "told", "hint"),
    [
        ("repository = 3", "1:14", "repository must be a text", ""),
        ("# x\nrepo = 'x'", "2:1", "repo means nothing", "Did you mean repository?"),
        ("[sources.a]\nurll = 'x'", "2:1", "sources.a.urll means nothing", "Did you mean url?"),
        ("[sources.a]\ntables = ['x']", "1:10", "sources.a has no url", "[sources.a]"),
        (A + "tables = 'x'", "3:10", "sources.a.tables must be a list of texts", ""),
        (A + "tables = [\n'x',\n3]", "3:10", "sources.a.tables must be a list of texts", ""),
        (A + "vectors = 'no'", "3:11", "must be true or false", ""),
        (A + "where = {notes = 3}", "3:18", "sources.a.where.notes must be a text", ""),
        (A + "ignore_columns = ['notes']", "3:18", "'notes', which is not TABLE.COLUMN", ""),
        (A + "ignore-columns = []\nignore_columns = []", "4:1", "once more", ""),
        (A + "roles.memorie = 'notes'", "3:7", "sources.a.roles.memorie means nothing", "Did you mean memory?"),
        (A + "[sources.a.roles]\nheat = 'h'", "3:12", "sources.a.roles has no memory", ""),
        ("[sources.'a:b']\nurl = 'x'", "1:10", "cannot be the name", ""),
        ("sources = 1", "1:11", "sources must be a table", ""),
        (A + "[groups]\nall = ['b']", "4:7", "the source 'b', which is not there", "Known here: a"),
        (A + "[groups]\na = ['a']", "4:1", "is the name of a source too", ""),
        (A + "[[links]]\nfrom = 'a:t.c'", "3:3", "links[1] has no `to`", ""),
        (A + "[[links]]\nfrom = 'a:t.c'\nto = 'b:t.c'", "5:6", "the source 'b', which is not there", "Known here: a"),
        (A + "[[links]]\nfrom = 'a.t'\nto = 'a:t.c'", "4:8", "'a.t' is not SOURCE:TABLE.COLUMN", ""),
        ("[retention]\nkeep-dayly = 7", "2:1", "means nothing", "Did you mean keep-daily?"),
        ("[retention]\nkeep-daily = -7", "2:14", "must be a whole number", ""),
        ("[retention]\nkeep-daily = true", "2:14", "must be a whole number", ""),
        ("[retention]\nkeep-within = 'soon'", "2:15", "'soon' is not a duration", "30d"),
        ("[retention]\nkeep-daily = 1\nmax-size = 'much'", "3:12", "'much' is not a size", "1.5G"),
        ("[retention]\nkeep-daily = 0", "1:2", "keeps nothing", "keep-daily = 7"),
        ("passphrase-file='a'\npassphrase-command='b'", "2:20", "a second place", ""),
        ("x = 1\n= nonsense", "2:1", "this is not TOML", ""),
        ("x = [1,", "1:8", "this is not TOML", ""),
    ],
)
def test_a_mistake_in_snap_toml_is_named_with_its_place(
    folder: Path, text: str, place: str, told: str, hint: str
) -> None:
    (folder / "snap.toml").write_text(text, encoding="utf-8")
    error = Snap(folder).error("list", code=2)
    assert error["message"].startswith(f"{folder / 'snap.toml'}:{place.partition(':')[0]}:")
    assert told in error["message"]
    assert hint in error["hint"]
    if "not TOML" not in told:
        assert error["message"].startswith(f"{folder / 'snap.toml'}:{place}: ")


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "snap.toml").write_bytes(b"a = '\xff'")
    assert "snap.toml" in Snap(folder).error("list", code=2)["message"]


def test_a_group_is_one_snapshot_of_its_sources(snap: Snap, folder: Path) -> None:
    text = ""
    for name in ("a", "b", "c"):
        connection = apsw.Connection(str(folder / f"{name}.db"))
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, v); INSERT INTO notes VALUES (1, 'x')")
        connection.close()
        text += f"[sources.{name}]\nurl = 'sqlite:///{folder}/{name}.db'\n"
    (folder / "snap.toml").write_text(text + "[groups]\nboth = ['a', 'b']\n", encoding="utf-8")
    assert [one["name"] for one in snap.json("take", "both")["sources"]] == ["a", "b"]
    assert [one["name"] for one in snap.json("take", "b", "both")["sources"]] == ["b", "a"]
    assert [one["name"] for one in snap.json("take")["sources"]] == ["a", "b", "c"]
    assert "Did you mean both?" in snap.error("take", "bohts", code=2)["hint"]
    assert "group" in snap.error("diff", "latest", "live", "--source", "b", "--to", "both", code=2)["message"]


def test_variables_and_a_command_give_what_the_file_should_not_hold(
    snap: Snap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "snap.toml").write_text(
        "[sources.a]\nurl = 'postgresql://me:${PASSWORD}@127.0.0.1:9/x'\n"
        "[sources.b]\nurl = 'postgresql://me@127.0.0.1:9/x'\npassword-command = 'echo pa/ss@w0rd'\n"
        "[sources.c]\nurl = '${C_URL}'\n"
        "[sources.d]\nurl = 'sqlite:///x.db'\npassword-command = 'echo x'\n",
        encoding="utf-8",
    )
    snap("list")  # what nobody asks for need not be set
    assert "${PASSWORD}, which is not set" in snap.error("take", "a", code=2)["message"]
    monkeypatch.setenv("PASSWORD", "pa/ss@w0rd")
    monkeypatch.setenv("C_URL", "postgresql://me:pa%2Fss%40w0rd@127.0.0.1:9/x")
    for name in ("a", "b", "c"):
        told = snap("-vv", "take", name, code=1)
        for form in ("pa/ss@w0rd", "pa%2Fss%40w0rd", "w0rd"):
            assert form not in told.stdout + told.stderr
        assert "127.0.0.1" in told.stderr
    assert "no password" in snap.error("take", "d", code=2)["message"]


def test_commands_that_others_may_have_written_are_not_run(snap: Snap, folder: Path) -> None:
    path = folder / "snap.toml"
    path.write_text("passphrase-command = 'touch ran'\n", encoding="utf-8")
    path.chmod(0o666)
    assert "nothing was done" in snap.error("list", code=2)["message"]
    path.write_text("[sources.a]\nurl = 'sqlite:///x.db'\npassword-command = 'touch ran'\n", encoding="utf-8")
    assert "nothing was done" in snap.error("sources", code=2)["message"]
    assert not (folder / "ran").exists()
    path.write_text("[sources.a]\nurl = 'sqlite:///x.db'\n", encoding="utf-8")
    snap("list")


@pytest.mark.parametrize(
    ("url", "with_it"),
    [
        ("postgresql://me@h/db", "postgresql://me:a%20b%27@h/db"),
        ("postgresql://me@h1,h2:5/db?application_name=a@b", "postgresql://me:a%20b%27@h1,h2:5/db?application_name=a@b"),
        ("postgresql:///db?host=/run", "postgresql:///db?host=/run&password=a%20b%27"),
        ("postgresql://h", "postgresql://h?password=a%20b%27"),
        ("dbname=x user=me", "dbname=x user=me password='a b\\''"),
    ],
)
def test_a_password_goes_where_the_driver_finds_it(url: str, with_it: str) -> None:
    assert with_password(url, "a b'") == with_it
    assert conninfo_to_dict(with_it)["password"] == "a b'"


def test_config_show_tells_where_every_value_comes_from_and_no_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap = Snap(folder)
    names = {one["name"]: (one["value"], one["from"]) for one in snap.json("config", "show")["values"]}
    assert names["repository"] == (".snapstore", "default")
    assert names["retention"] == (None, "default")
    (folder / "snap.toml").write_text(
        "repository = 'backups'\npassphrase-command = 'print hunter2'\n[sources.a]\n"
        "url = 'postgresql://me:hunter2@h/x'\nwhere.notes = 'heat > 0.5'\n[sources.b]\n"
        "url = 'host=h password=hunter2'\n[retention]\nkeep-daily = 7\n",
        encoding="utf-8",
    )
    shown = snap.json("config", "show")
    assert shown["file"] == str(folder / "snap.toml")
    names = {one["name"]: (one["value"], one["from"]) for one in shown["values"]}
    assert names["repository"] == (str(folder / "backups"), "snap.toml:1")
    assert names["sources.a.where.notes"] == ("heat > 0.5", "snap.toml:5")
    assert names["sources.a.url"] == ("postgresql://me:…@h/x", "snap.toml:4")
    assert names["sources.a.vectors"] == (True, "default")
    assert names["retention.keep-daily"] == (7, "snap.toml:9")
    for words in (["config", "show"], ["config", "show", "--json"], ["config", "show", "-vv"]):
        assert "hunter2" not in snap(*words).stdout + snap(*words).stderr
    monkeypatch.setenv("SNAP_REPO", "elsewhere")
    [first, *_] = snap.json("config", "show", "--passphrase-file", "f")["values"]
    assert (first["value"], first["from"], first["instead_of"]) == ("elsewhere", "SNAP_REPO", "snap.toml:1")
    assert "--passphrase-file (not snap.toml:2)" not in snap("config", "show").stdout
    snap("config", code=2)


def test_snap_toml_says_where_the_passphrase_is(folder: Path) -> None:
    (folder / "snap.toml").write_text("passphrase-file = 'secret.txt'\n", encoding="utf-8")
    (folder / "secret.txt").write_text("correct horse\n", encoding="utf-8")
    snap = Snap(folder)
    snap("init", "--encrypt")
    assert snap.json("list") == []
    (folder / "secret.txt").write_text("another\n", encoding="utf-8")
    snap("list", code=12)


@pytest.mark.parametrize(("source", "code"), [("qdrant://localhost", 1), ("mysql://localhost/x", 2)])
def test_engines_that_are_not_held_are_refused_by_name(snap: Snap, source: str, code: int) -> None:
    assert source.partition(":")[0] in snap.error("take", source, code=code)["message"]
