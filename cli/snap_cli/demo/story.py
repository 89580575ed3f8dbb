"""What `snap demo` shows: two days of agents' memory, a clean-up that went wrong, and the way back.

    tell(stage, server, url, rows)

Each step is checked against what the database itself says; `Failed` is raised where one did not do what it claims.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from snap_cli.demo.agents import Cleanup, Day, Memory
from snap_cli.demo.stage import Failed, Stage
from snap_cli.embedded import EmbeddedServer
from snap_cli.render import amount, plural
from snap_cli.sample import load

__all__ = ["tell"]

_MEMORIES, _RELATIONSHIPS = "public.memories", "public.relationships"


def tell(stage: Stage, server: EmbeddedServer, url: str, rows: int) -> None:
    """The whole demo, with this many memories, in the current folder."""
    with psycopg.connect(url, autocommit=True) as connection:
        memory = Memory(connection, load(rows))
        before, linked = memory.create()
        _open(stage, server, url, before, linked)

        stage.heading("Monday")
        stage.snap("init")
        stage.snap("take", "agents", "--tag", "monday")
        monday = _sizes(server, url)

        stage.heading("Tuesday")
        _second_day(stage, server, url, memory.day(), monday)

        stage.heading("Wednesday: a clean-up goes wrong")
        sound = _dump_digest(server, url)
        cleanup = memory.bad_cleanup()
        _see(stage, cleanup)

        stage.heading("Putting it back")
        _put_back(stage, cleanup)
        _prove(stage, sound, _dump_digest(server, url))

        stage.heading("Keeping house")
        _keep_house(stage)


def _open(stage: Stage, server: EmbeddedServer, url: str, memories: int, linked: int) -> None:
    stage.say(
        f"A PostgreSQL server of its own (no network, gone when this ends) now holds {memories:,} memories of a few "
        f"agents: real paragraphs with real 384-dimensional embeddings under an HNSW index, each with its heat, access "
        f"count, owner and metadata, and {linked:,} relationships between them. snap.toml says where they are:"
    )
    Path("snap.toml").write_text(f'[sources.agents]\nurl = "{url}"\n', encoding="utf-8")
    stage.file("snap.toml")


def _second_day(stage: Stage, server: EmbeddedServer, url: str, day: Day, monday: tuple[int, int]) -> None:
    stage.say(
        f"A day passes. Every memory cools a little (its heat × 0.97), {day.used} are used, {day.rewritten} rewritten "
        f"with a new embedding, {day.added} written, with {plural(day.linked, 'relationship')} to others."
    )
    stage.snap("take", "agents", "--tag", "tuesday")
    tuesday = _sizes(server, url)
    stage.snap("list")
    stage.check("there are two snapshots", len(stage.ask("list")) == 2)
    stage.snap("diff", "monday", "tuesday")
    found = stage.changes("monday", "tuesday")
    memories = found[_MEMORIES]
    stage.check("every memory cooled", memories["columns"]["heat"] == memories["changed"] == day.cooled)
    stage.check("the new memories were seen", (memories["added"], memories["removed"]) == (day.added, 0))
    stage.check("the rewritten embeddings were seen", memories["columns"]["embedding"] == day.rewritten)
    stage.check("the new relationships were seen", found[_RELATIONSHIPS]["added"] == day.linked)
    stage.say(
        "What the same two nights cost with pg_dump in its compressed format (pg_dump -Fc, which leaves an index to be "
        "built again, as snap does), measured just now:"
    )
    stage.table(
        [
            ["", "snap", "pg_dump -Fc"],
            ["monday", amount(monday[0]), amount(monday[1])],
            ["tuesday", amount(tuesday[0] - monday[0]), amount(tuesday[1])],
            ["both nights", amount(tuesday[0]), amount(monday[1] + tuesday[1])],
        ]
    )


def _see(stage: Stage, cleanup: Cleanup) -> None:
    stage.say(
        "An agent is told to tidy up. It deletes memories of a client because they are cool (their relationships go "
        "with them), cuts long texts of another to 20 characters and empties their metadata, and overwrites the "
        "embeddings of a third. What is different now?"
    )
    stage.snap("status")
    found = stage.changes("latest", "live")
    memories = found[_MEMORIES]
    stage.check("every deleted memory was seen", memories["removed"] == cleanup.deleted)
    stage.check("every relationship gone with one was seen", found[_RELATIONSHIPS]["removed"] == cleanup.unlinked)
    stage.check("every damaged memory was seen", memories["changed"] == cleanup.garbled + cleanup.misplaced)
    stage.check("every damaged embedding was seen", memories["columns"]["embedding"] == cleanup.misplaced)
    stage.say("Two of the damaged memories, field by field:")
    for example in cleanup.examples:
        stage.snap("diff", "latest", "live", "--rows", "--key", f"memories:{example}")


def _put_back(stage: Stage, cleanup: Cleanup) -> None:
    stage.say("What would a restore do? This changes nothing, and names a plan:")
    words = ("restore", "latest", "--conflict", "update")
    stage.snap(*words, "--dry-run")
    plan = stage.ask(*words, "--dry-run")
    tables = {table["name"]: table for table in plan["tables"]}
    planned = tables[_MEMORIES]
    stage.check(
        "the plan is to undo the clean-up and nothing else",
        (planned["insert"], planned["update"], planned["delete"])
        == (cleanup.deleted, cleanup.garbled + cleanup.misplaced, 0)
        and tables[_RELATIONSHIPS]["insert"] == cleanup.unlinked,
    )
    stage.say("Exactly this plan, in one transaction, only if the rows are still as they were when it was made:")
    stage.snap(*words, "--plan", plan["plan"])
    stage.snap("status", "--exit-code")
    stage.check("nothing differs from the snapshot", not stage.changes("latest", "live"))


def _prove(stage: Stage, sound: str, restored: str) -> None:
    stage.check("pg_dump says the same before the clean-up and after the restore", restored == sound)
    stage.say(
        "That is what snap says. PostgreSQL says so too: the lines of a full pg_dump (schema, every row, sequences; in "
        "any order) had this digest before the clean-up, and have it again:"
    )
    stage.table([["", "lines of pg_dump"], ["before the clean-up", sound[:32]], ["after the restore", restored[:32]]])


def _keep_house(stage: Stage) -> None:
    stage.say(
        "Old snapshots go by a rule; the state before a restore stays for 30 days, so that it can be undone. Little "
        "space comes back here, as nearly all of monday is part of tuesday too:"
    )
    stage.snap("gc", "--keep-last", "1")
    kept = stage.ask("list")
    stage.check("only tuesday is left", [one["tags"] for one in kept] == [["tuesday"]])
    stage.say("Every byte that is left is read and hashed again:")
    stage.snap("verify", "--read-data")


def _sizes(server: EmbeddedServer, url: str) -> tuple[int, int]:
    """Bytes of the repository, and of a compressed pg_dump."""
    dumped = sum(map(len, _dump(server, "--format=custom", url)))
    return sum(path.stat().st_size for path in Path(".snapstore").rglob("*") if path.is_file()), dumped


def _dump_digest(server: EmbeddedServer, url: str) -> str:
    """A digest of the lines of a pg_dump in any order, as rows come in the order in which they happen to lie."""
    total = 0
    for line in _dump(server, url):
        # A token against injected commands, drawn anew for every dump.
        if not line.startswith((b"\\restrict ", b"\\unrestrict ")):
            total += int.from_bytes(hashlib.sha256(line).digest())
    return f"{total % 2**256:064x}"


def _dump(server: EmbeddedServer, *arguments: str) -> Iterator[bytes]:
    """What pg_dump says, line by line."""
    with subprocess.Popen([server.programs / "pg_dump", *arguments], stdout=subprocess.PIPE) as dump:
        assert dump.stdout is not None
        yield from dump.stdout
    if dump.returncode:
        raise Failed(f"pg_dump ended with exit code {dump.returncode}")
