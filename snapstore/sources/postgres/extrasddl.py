"""The statements for what a table has around its rows: statistics objects, row security, triggers, rules, comments.

    for statement in create_extras(definition):
        connection.execute(statement)

As `snapstore.sources.postgres.ddl`, whose words it uses: plain data in, statements out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import LiteralString

from psycopg import sql

from snapstore.sources.postgres.ddl import Part, Statement, alter, comment_on, comment_on_constraint, relation, text
from snapstore.sources.postgres.lineage import comes_with_parent

__all__ = [
    "create_extras",
    "create_rules",
    "create_statistics",
    "create_trigger",
    "identify_replicas",
    "set_rule",
    "set_trigger",
]


def create_statistics(table: Part) -> Iterator[Statement]:
    """Its extended statistics; also for materialized views."""
    for statistics in table["statistics"]:
        yield text(statistics["definition"])
        if statistics["target"] is not None:
            change = sql.SQL("ALTER STATISTICS {} SET STATISTICS {}")
            yield change.format(relation(statistics), sql.Literal(statistics["target"]))
        yield from comment_on("statistics", relation(statistics), statistics["comment"])


def identify_replicas(table: Part) -> Iterator[Statement]:
    """What replication is told of changed rows, where that is neither key nor index; also for materialized views."""
    if (how := table.get("replica_identity")) in ("f", "n"):
        yield alter(table, "REPLICA IDENTITY FULL" if how == "f" else "REPLICA IDENTITY NOTHING")


def create_extras(table: Part) -> Iterator[Statement]:
    """Statistics objects, row security, replica identity, triggers, comments: whatever minds neither rows nor keys."""
    yield from create_statistics(table)
    for policy in table["policies"]:
        yield from _create_policy(table, policy)
    if table["row_security"]:
        yield alter(table, "ENABLE ROW LEVEL SECURITY")
    if table["force_row_security"]:
        yield alter(table, "FORCE ROW LEVEL SECURITY")
    yield from identify_replicas(table)
    for trigger in table["triggers"]:
        yield from create_trigger(table, trigger)
    for constraint in table["constraints"]:
        if comes_with_parent(table, constraint):
            yield from comment_on_constraint(table, constraint)
    yield from comment_on("table", relation(table), table["comment"])
    for column in table["columns"]:
        name = sql.Identifier(table["schema"], table["name"], column["name"])
        yield from comment_on("column", name, column["comment"])


# The states of pg_trigger.tgenabled other than the one a new trigger has.
_TRIGGER_STATES: Mapping[str, LiteralString] = {
    "D": "DISABLE TRIGGER {}",
    "R": "ENABLE REPLICA TRIGGER {}",
    "A": "ENABLE ALWAYS TRIGGER {}",
    "O": "ENABLE TRIGGER {}",
}


def create_trigger(table: Part, trigger: Part) -> Iterator[Statement]:
    """A trigger in the state it had. One that a partition has from above is there already."""
    if not trigger.get("inherited"):
        yield text(trigger["definition"])
    if trigger["enabled"] != "O" or trigger.get("inherited"):
        yield set_trigger(table, trigger)
    target = sql.SQL("{} ON {}").format(sql.Identifier(trigger["name"]), relation(table))
    yield from comment_on("trigger", target, trigger["comment"])


def set_trigger(table: Part, trigger: Part) -> Statement:
    """Bring an existing trigger into this state."""
    return alter(table, _TRIGGER_STATES[trigger["enabled"]], sql.Identifier(trigger["name"]))


_RULE_STATES: Mapping[str, LiteralString] = {
    state: change.replace("TRIGGER", "RULE") for state, change in _TRIGGER_STATES.items()
}


def create_rules(relation_: Part) -> Iterator[Statement]:
    """The rules of a table or view in the state they had: last of all, since they may speak of any other table."""
    for rule in relation_.get("rules", ()):
        yield text(rule["definition"])
        if rule["enabled"] != "O":
            yield set_rule(relation_, rule)
        target = sql.SQL("{} ON {}").format(sql.Identifier(rule["name"]), relation(relation_))
        yield from comment_on("rule", target, rule["comment"])


def set_rule(relation_: Part, rule: Part) -> Statement:
    """Bring an existing rule into this state."""
    return alter(relation_, _RULE_STATES[rule["enabled"]], sql.Identifier(rule["name"]))


_COMMANDS: Mapping[str, LiteralString] = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}


def _create_policy(table: Part, policy: Part) -> Iterator[Statement]:
    # pg_policy writes PUBLIC as role 0, which has no name.
    roles = [sql.Identifier(role) if role else sql.SQL("PUBLIC") for role in policy["roles"]]
    name = sql.Identifier(policy["name"])
    yield sql.SQL("CREATE POLICY {} ON {} AS {} FOR {} TO {}{}{}").format(
        name,
        relation(table),
        sql.SQL("PERMISSIVE" if policy["permissive"] else "RESTRICTIVE"),
        sql.SQL(_COMMANDS[policy["command"]]),
        sql.SQL(", ").join(roles),
        text(f" USING ({policy['using']})" if policy["using"] is not None else ""),
        text(f" WITH CHECK ({policy['check']})" if policy["check"] is not None else ""),
    )
    target = sql.SQL("{} ON {}").format(name, relation(table))
    yield from comment_on("policy", target, policy["comment"])
