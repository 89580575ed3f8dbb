"""The recipes of docs/guard.md, with the programs they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import PROGRAM, Snap, environment, rows, run

PAGE = Path(__file__).parent.parent.parent / "docs/guard.md"

ENVIRONMENT = """
import sqlalchemy
from alembic import context
with sqlalchemy.create_engine({url!r}).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
MIGRATION = """
from alembic import op
revision, down_revision = {own!r}, {before!r}
def upgrade():
    op.execute({statement!r})
"""


def test_alembic_fails_half_way_and_the_database_is_as_it_was(snap: Snap, url: str, folder: Path) -> None:
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n", encoding="utf-8")
    (folder / "migrations/versions").mkdir(parents=True)
    (folder / "migrations/script.py.mako").touch()
    place = url.replace("postgresql://", "postgresql+psycopg://")
    (folder / "migrations/env.py").write_text(ENVIRONMENT.format(url=place), encoding="utf-8")

    def migration(own: str, before: str | None, statement: str) -> None:
        text = MIGRATION.format(own=own, before=before, statement=statement)
        (folder / f"migrations/versions/{own}.py").write_text(text, encoding="utf-8")

    alembic = [sys.executable, "-m", "alembic", "upgrade", "head"]
    migration("one", None, "ALTER TABLE memories ADD COLUMN score real")
    snap("guard", "--source", url, "--", *alembic)
    before = rows(url, "SELECT * FROM memories ORDER BY id")
    migration("two", "one", "ALTER TABLE memories DROP COLUMN embedding")
    migration("three", "two", "ALTER TABLE memories DROP COLUMN nothing_like_it")
    snap("guard", "--source", url, "--restore-on-failure", "--", *alembic, code=1)
    assert rows(url, "SELECT * FROM memories ORDER BY id") == before
    assert rows(url, "SELECT version_num FROM alembic_version") == [("one",)]
    migration("three", "two", "DELETE FROM visits")
    words = ("--restore-on-failure", "--max-deletes", "1%")
    # alembic's own version, which is its table's key, counts as one.
    assert "3 rows deleted" in snap("guard", "--source", url, *words, "--", *alembic, code=1).stderr
    assert rows(url, "SELECT * FROM memories ORDER BY id") == before


MODELS = """
from django.db import models
class Memory(models.Model):
    content = models.TextField()
    {field}
    class Meta:
        app_label = "agents"
"""
MANAGE = """
import sys
from django.conf import settings
settings.configure(
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {path!r}}}}},
    INSTALLED_APPS=["agents"], DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True,
)
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
WRONG = """
from django.db import migrations
class Migration(migrations.Migration):
    atomic = False
    dependencies = [("agents", "0002_half")]
    operations = [migrations.RunSQL("DELETE FROM agents_memory"), migrations.RunSQL("SELECT nonsense()")]
"""


def test_django_fails_half_way_and_the_database_is_as_it_was(snap: Snap, folder: Path) -> None:
    path = folder / "agents.db"
    (folder / "manage.py").write_text(MANAGE.format(path=str(path)), encoding="utf-8")
    (folder / "agents/migrations").mkdir(parents=True)
    for name in ("__init__.py", "migrations/__init__.py"):
        (folder / "agents" / name).touch()

    def manage(*words: str) -> list[str]:
        return [sys.executable, str(folder / "manage.py"), *words]

    def model(field: str, name: str) -> None:
        (folder / "agents/models.py").write_text(MODELS.format(field=field), encoding="utf-8")
        subprocess.run(manage("makemigrations", "agents", "-n", name), check=True, capture_output=True)

    model("heat = models.FloatField(default=1)", "first")
    subprocess.run(manage("migrate"), check=True, capture_output=True)
    add = "from agents.models import Memory; [Memory.objects.create(content=str(n)) for n in range(20)]"
    subprocess.run(manage("shell", "-c", add), check=True, capture_output=True)
    source = f"sqlite://{path}"
    before = snap.json("take", source)["sources"][0]["tables"]
    model("warmth = models.TextField(default='')", "half")
    (folder / "agents/migrations/0003_wrong.py").write_text(WRONG, encoding="utf-8")
    snap("guard", "--source", source, "--restore-on-failure", "--", *manage("migrate"), code=1)
    after = snap.json("take", source)["sources"][0]["tables"]
    assert [(table["name"], table["root"]) for table in after] == [(table["name"], table["root"]) for table in before]


@pytest.mark.parametrize("name", ["post-commit", "pre-commit"])
def test_git_hooks_do_what_they_say(snap: Snap, url: str, folder: Path, name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    hook = page.partition(f"`.git/hooks/{name}`")[2].partition("```sh\n")[2].partition("```")[0]
    (folder / "bin").mkdir()
    (folder / "bin/snap").write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n', encoding="utf-8")
    (folder / "bin/snap").chmod(0o755)
    names = {f"GIT_{who}_{what}": "me" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = environment(PATH=f"{folder / 'bin'}:{os.environ['PATH']}", SNAP_SOURCE=url, HOME=str(folder), **names)

    def git(*words: str) -> int:
        return subprocess.run(["git", *words], cwd=folder, env=settings, check=False, capture_output=True).returncode

    assert git("init") == 0
    snap("take", url)
    (folder / f".git/hooks/{name}").write_text(hook, encoding="utf-8")
    (folder / f".git/hooks/{name}").chmod(0o755)
    assert git("commit", "--allow-empty", "-m", "nothing yet") == 0
    newest = snap.json("list")[-1]
    if name == "post-commit":
        assert newest["description"] == "nothing yet"
        assert newest["tags"][0].startswith("git-")
    else:
        run(url, "DELETE FROM visits")
        assert git("commit", "--allow-empty", "-m", "refused") == 1
        snap("take", url)
        assert git("commit", "--allow-empty", "-m", "taken") == 0
