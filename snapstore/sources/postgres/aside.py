"""What is set aside while rows are changed, and put back as it was: keys, triggers, rules, constraints, indexes.

    aside = Aside(connection)
    aside.clear(works, live)         # before the rows
    ...
    aside.put_back_indexes()         # after them, in two steps: what checks rows and then what would fire
    aside.put_back_triggers()

What must step aside is decided in `snapstore.sources.postgres.obstacles`; this module does it and remembers. Triggers
are set aside table by table, never by session_replication_role, which would switch foreign keys off unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Invalid, Unsupported
from snapstore.rows import Table
from snapstore.sources import Work
from snapstore.sources.postgres import ddl
from snapstore.sources.postgres.connection import explained
from snapstore.sources.postgres.extrasddl import set_rule, set_trigger
from snapstore.sources.postgres.lineage import ancestors_of, parents_of
from snapstore.sources.postgres.obstacles import (
    ForeignKey,
    dear_indexes,
    read_event_triggers,
    read_foreign_keys,
    unvalidated,
    upset_foreign_keys,
)
from snapstore.sources.postgres.order import closure, in_order
from snapstore.sources.postgres.tables import full_name, rows_of

__all__ = ["Aside"]

_Parts = list[tuple[Mapping[str, Any], Mapping[str, Any]]]


class Aside:
    """What has been set aside in the transaction that is open. `notes` is what could not be, in words for people."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._foreign_keys: list[ForeignKey] = []
        self._event_triggers: list[tuple[str, str]] = []
        self._triggers: _Parts = []
        self._rules: _Parts = []
        self._indexes: _Parts = []
        self._constraints: _Parts = []
        self.notes: list[str] = []

    @property
    def foreign_keys(self) -> Sequence[ForeignKey]:
        """The foreign keys that have been dropped."""
        return self._foreign_keys

    def silence(self) -> None:
        """Before any DDL: disable the database's event triggers, as far as the role may.

        One that it may not disable fires as for all the DDL of this role; that is in `notes`. (Its owner, a superuser,
        means it to; what it does to the rows is seen when they are read back.)
        """
        for trigger in read_event_triggers(self._connection):
            if trigger.may_alter:
                self._connection.execute(sql.SQL("ALTER EVENT TRIGGER {} DISABLE").format(sql.Identifier(trigger.name)))
                self._event_triggers.append((trigger.name, trigger.enabled))
            else:
                self.notes.append(f"the event trigger {trigger.name} fires: this role may not disable it")

    def clear(
        self, works: Sequence[Work], all_works: Sequence[Work], live: Mapping[str, Table], *, tries: bool = False
    ) -> None:
        """Set aside what would fire, fail or cost too much while the rows of these live tables change.

        `tries` is as for `upset_foreign_keys`.
        """
        ancestors = ancestors_of(table.definition for table in live.values())
        self._set_aside(upset_foreign_keys(read_foreign_keys(self._connection), all_works, ancestors, tries=tries))
        for work in works:
            if work.inserts + work.deletes > 0 or work.updates:
                with explained(f"{work.table.name} cannot be made ready"):
                    self._clear(work, live[work.table.name].definition)
        upset = [work.table.name for work in works if work.inserts > 0 or work.updates]
        parents = {name: [one for one in parents_of(table.definition) if one in live] for name, table in live.items()}
        reached = closure(upset, parents)
        # A partition or heir has some from above, and only there can they be dropped: parents first.
        for name in in_order({one: parents[one] for one in reached})[0]:
            with explained(f"{name} cannot be made ready"):
                self._clear_unvalidated(live[name].definition)

    def release(self, names: Collection[str]) -> None:
        """Before these tables are dropped: set aside the keys by which others refer to them."""
        self._set_aside(
            [one for one in read_foreign_keys(self._connection) if one.other in names and one.table not in names]
        )

    def _set_aside(self, keys: Sequence[ForeignKey]) -> None:
        for key in keys:
            if key.altered:
                raise Unsupported(
                    f"the foreign key {key.name} of {key.table} has its own triggers disabled or altered, a state that "
                    "cannot be put back",
                    hint=f"ALTER TABLE {key.table} ENABLE TRIGGER ALL, or --exclude it",
                )
            with explained(f"the foreign key {key.name} of {key.table} cannot be set aside"):
                self._connection.execute(key.drop())
            self._foreign_keys.append(key)

    def _clear_unvalidated(self, table: Mapping[str, Any]) -> None:
        constraints = unvalidated(table)
        if constraints and self._is_mine(table):
            for constraint in constraints:
                self._connection.execute(ddl.alter(table, "DROP CONSTRAINT {}", sql.Identifier(constraint["name"])))
                self._constraints.append((table, constraint))

    def _clear(self, work: Work, table: Mapping[str, Any]) -> None:
        enabled = [trigger for trigger in table["triggers"] if trigger["enabled"] != "D"]
        rules = [rule for rule in table.get("rules", ()) if rule["enabled"] != "D"]
        if not self._is_mine(table):
            self._check_not_mine(table, enabled, rules)
            return
        if enabled:
            for trigger in enabled:
                self._connection.execute(set_trigger(table, {**trigger, "enabled": "D"}))
            self._triggers += [(table, trigger) for trigger in enabled]
        for rule in rules:
            self._connection.execute(set_rule(table, {**rule, "enabled": "D"}))
            self._rules.append((table, rule))
        for index in dear_indexes(table, work, self._rows(table), self._fits):
            self._connection.execute(sql.SQL("DROP INDEX {}").format(ddl.relation(index)))
            self._indexes.append((table, index))

    def _is_mine(self, table: Mapping[str, Any]) -> bool:
        """Whether this role may alter the table."""
        query = "SELECT pg_has_role(relowner, 'USAGE') AS is_mine FROM pg_class WHERE oid = %s::regclass"
        [row] = rows_of(self._connection, query, (ddl.relation(table).as_string(self._connection),))
        return bool(row["is_mine"])

    def _check_not_mine(
        self, table: Mapping[str, Any], triggers: Sequence[Mapping[str, Any]], rules: Sequence[Mapping[str, Any]]
    ) -> None:
        """Raise `Invalid` naming what would fire in a table of another role; indexes are kept, however dear.

        Firing is no choice: a trigger that writes elsewhere would do so for rows that are not new.
        """
        name = full_name(table["schema"], table["name"])
        for kind, found in (("trigger", triggers), ("rule", rules)):
            if found:
                names = ", ".join(str(one["name"]) for one in found)
                raise Invalid(
                    f"the {kind} {names} of {name} would fire, and this role may not disable it: it does not own the "
                    "table",
                    hint=f"restore as the owner of {name}, or let him disable it meanwhile",
                )

    def put_back_indexes(self) -> None:
        """Constraints and indexes."""
        for table, constraint in reversed(self._constraints):  # a parent's merges with what a child has of its own
            self._run(table, ddl.create_constraint(table, constraint))
        for table, index in self._indexes:
            self._run(table, ddl.create_index(table, index))

    def put_back_keys(self) -> None:
        """Foreign keys, checked against every row. Raises `Conflict` naming the key and the row that it forbids."""
        for key in self._foreign_keys:
            with explained(f"the foreign key {key.name} of {key.table} does not hold"):
                for statement in key.create():
                    self._connection.execute(statement)

    def put_back_triggers(self) -> None:
        """Triggers, rules and event triggers, each in the state it had; when nothing is left to be done."""
        for table, trigger in self._triggers:
            self._run(table, [set_trigger(table, trigger)])
        for table, rule in self._rules:
            self._run(table, [set_rule(table, rule)])
        for name, enabled in self._event_triggers:
            state = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}[enabled]
            self._connection.execute(sql.SQL("ALTER EVENT TRIGGER {} {}").format(sql.Identifier(name), ddl.text(state)))

    def _fits(self, index: Mapping[str, Any], growth: float) -> bool:
        """Whether the server may build an index in memory that is as large as this one, times so much."""
        query = """SELECT pg_relation_size(%s::regclass)::float8 AS index_bytes,
          pg_size_bytes(current_setting('maintenance_work_mem')) AS memory_bytes"""
        [row] = rows_of(self._connection, query, (ddl.relation(index).as_string(self._connection),))
        return bool(row["index_bytes"] * growth <= row["memory_bytes"])

    def _rows(self, table: Mapping[str, Any]) -> float:
        """About how many rows a live table has: the server's estimate, or a count where it has none."""
        query = "SELECT reltuples AS rows FROM pg_class WHERE oid = %s::regclass"
        [row] = rows_of(self._connection, query, (ddl.relation(table).as_string(self._connection),))
        if row["rows"] <= 0:
            [row] = rows_of(
                self._connection, sql.SQL("SELECT count(*) AS rows FROM ONLY {}").format(ddl.relation(table))
            )
        return float(row["rows"])

    def _run(self, table: Mapping[str, Any], statements: Any) -> None:
        with explained(f"{full_name(table['schema'], table['name'])} cannot be finished"):
            for statement in statements:
                self._connection.execute(statement)
