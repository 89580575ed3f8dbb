"""A password is shown nowhere: not in output, errors, tracebacks, logs, plans, or any file of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from tests.cli.command import Snap, run

SECRET = "hunter2-geheim"


def forms(url: str) -> list[str]:
    """The same database with a password in each place where one can be written."""
    database, host = url.partition("@/")[2].partition("?")[0], url.partition("host=")[2].partition("&")[0]
    return [
        url.replace("postgres@", f"postgres:{SECRET}@"),
        f"{url}&password={SECRET}",
        f"dbname={database} host={host} port=5432 user=postgres password='{SECRET}'",
    ]


def nowhere(text: str) -> None:
    assert SECRET not in text


@pytest.mark.parametrize("form", range(3))
def test_a_password_is_shown_nowhere(snap: Snap, url: str, form: int, folder: Path) -> None:
    secret = forms(url)[form]
    for words in (
        ["take", secret],
        ["take", secret, "-vv"],
        ["take", secret, "--json"],
        ["list", "--json"],
        ["show", "latest", "--json"],
        ["show", "latest"],
        ["status", "--to", secret, "-v"],
    ):
        result = snap(*words)
        nowhere(result.stdout + result.stderr)
    run(url, "DELETE FROM memories WHERE id < 5")
    for words in (
        ["restore", "latest", "--to", secret, "--dry-run"],
        ["restore", "latest", "--to", secret],
        ["undo", "--to", secret, "--yes"],
        ["list", "--all", "--json"],
    ):
        result = snap(*words)
        nowhere(result.stdout + result.stderr)
    for path in (folder / ".snapstore").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert SECRET.encode() not in data
            if path.parent.name == "snapshots":
                assert SECRET.encode() not in zstandard.ZstdDecompressor().decompress(data[8:-32])


@pytest.mark.parametrize(
    "source",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        f"postgresql://me:{SECRET}@[broken/db",
        f"postgresql://me:{SECRET}/odd@127.0.0.1/db",
        f"postgresql://127.0.0.1:1/db?password={SECRET}",
        f"host=127.0.0.1 port=1 password={SECRET}",
        f"host=127.0.0.1 port=1 password='{SECRET} x' nonsense=1",
        f"mysql://me:{SECRET}@host/db",
        f"sqlite://me:{SECRET}@host/db",
    ],
)
def test_a_password_in_a_url_that_fails_is_shown_nowhere(snap: Snap, source: str) -> None:
    for more in ([], ["--json"], ["-vv"]):
        result = snap("take", source, *more, code=2 if _is_misuse(source) else 1)
        nowhere(result.stdout + result.stderr)
    result = snap("status", env={"SNAP_SOURCE": source}, code=1)
    nowhere(result.stdout + result.stderr)


def _is_misuse(source: str) -> bool:
    return any(word in source for word in ("broken", "odd", "nonsense", "mysql", "sqlite"))


def test_a_password_in_snap_toml_is_shown_nowhere(snap: Snap, url: str, folder: Path) -> None:
    (folder / "snap.toml").write_text(f'[sources.agents]\nurl = "{forms(url)[0]}"\n', encoding="utf-8")
    for words in (
        ["take"],
        ["status"],
        ["show", "latest", "--json"],
        ["restore", "latest", "--to", "agents", "--dry-run"],
    ):
        result = snap(*words, "-vv")
        nowhere(result.stdout + result.stderr)
    (folder / "snap.toml").write_text(
        f'[sources.agents]\nurl = "postgresql://x:{SECRET}@127.0.0.1:1/y"\n', encoding="utf-8"
    )
    result = snap("take", "-vv", code=1)
    nowhere(result.stdout + result.stderr)
