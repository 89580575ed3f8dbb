"""Whether a restore can be done at all: the shapes of tables, what they refer to, and whose words would be run.

    check_works(works, live)                # live: the tables by name
    check_references(making, there)

Asked before anything is made. It decides from definitions alone and asks the server nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from snapstore.errors import Conflict
from snapstore.rows import Table
from snapstore.sources import Work, untrusted
from snapstore.sources.postgres.large import is_large_objects, is_object_id
from snapstore.sources.postgres.lineage import ancestors_of
from snapstore.sources.postgres.making import Making
from snapstore.sources.postgres.tables import full_name

__all__ = ["check_references", "check_texts", "check_works"]

# Their binary forms are one, so their cells may go from one to the other.
_TEXT = {"pg_catalog.text", "pg_catalog.varchar", "pg_catalog.bpchar"}


def check_works(works: Sequence[Work], live: Mapping[str, Table]) -> None:
    """Raise `Conflict` for a table that cannot be worked on as it is live, by name."""
    for work in works:
        name = work.table.name
        if work.exists and name not in live:
            raise Conflict(f"{name} was there when the restore was planned and is not now", hint="plan it again")
        if work.exists and not work.recreate:
            _check_shape(work, live[name])
        if work.exists and work.recreate:
            _check_partitions(name, works, live)


def check_references(making: Making, there: Collection[str]) -> None:
    """Raise `Conflict` where a foreign key of a table to be made would not find the other table."""
    for work in making.tables.values():
        for constraint in work.table.definition["constraints"]:
            if other := constraint["references"]:
                other_name = full_name(other["schema"], other["name"])
                if f"table {other_name}" not in {*there, *making.tables}:
                    raise Conflict(
                        f"{work.table.name} has the foreign key {constraint['name']} to {other_name}, which is not "
                        "in the database",
                        hint=f"restore {other_name} too",
                    )


def check_texts(making: Making, objects: Mapping[str, Any], work: Sequence[Work]) -> None:
    """Raise `untrusted` for what would be made in the words of the definition; sequences are set by numbers."""
    named = [*making.early, *making.late, *making.last, *(key for key in making.tables if key not in making.early)]
    grants = objects.get("grants", {}).get("grants", ()) if "grants" in making.meant else ()
    if any(is_large_objects(one.table) and one.inserts for one in work) and any(
        is_object_id(one["on"]) for one in grants
    ):
        named.append("privileges of large objects")
    if making.is_whole:
        has = {setting.partition("=")[0] for setting in making.live_settings}
        settings = objects.get("settings", {}).get("settings", ()) if "settings" in making.meant else ()
        named += [f"the setting {one.partition('=')[0]}" for one in settings if one.partition("=")[0] not in has]
        if making.was_empty:
            named.append("privileges and the comment of the database")
        elif "default privileges" in making.meant and objects["default privileges"]["grants"]:
            named.append("default privileges")
    if named:
        raise untrusted(named)


def _check_partitions(name: str, works: Sequence[Work], live: Mapping[str, Table]) -> None:
    """A partitioned table takes its partitions with it when it is dropped."""
    anew = {work.table.name for work in works if work.recreate}
    for other, above in ancestors_of(table.definition for table in live.values()).items():
        if name in above and other not in anew:
            raise Conflict(
                f"{name} cannot be made anew: its partition {other} would go with it",
                hint=f"detach {other} first, or restore a snapshot that has it",
            )


def _check_shape(work: Work, live: Table) -> None:
    """`Conflict` if cells of the snapshot would mean something else in the live table.

    The server takes four bytes of an integer for a real without a word, and rounds for another numeric(p, s).
    """
    if not (work.inserts or work.deletes or work.updates):
        return
    name = work.table.name
    if ("partition_key" in live.definition) != ("partition_key" in work.table.definition):
        raise Conflict(f"{name} is a partitioned table in one of the snapshot and the database, and not in the other")
    hint = "let the restore make the table anew, restore into another database, or undo the change of the live table"
    if [part.name for part in live.key] != [part.name for part in work.table.key]:
        raise Conflict(f"{name} has another key than in the snapshot", hint=hint)
    now = {column["name"]: column for column in live.definition["columns"]}
    then = {column["name"]: column for column in work.table.definition["columns"]}
    for column in dict.fromkeys([*(part.name for part in live.key), *(one.name for one in work.table.columns)]):
        if column not in now:
            continue  # the plan says what becomes of it; naming it in a COPY would fail
        was, is_now = then[column], now[column]
        if was["type"] != is_now["type"] and not {was["base_type"], is_now["base_type"]} <= _TEXT:
            raise Conflict(f"{name}.{column} was {was['type']} and is {is_now['type']} now", hint=hint)
