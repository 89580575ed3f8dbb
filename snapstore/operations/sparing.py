"""Carries out all of a plan but the rows that the target refuses (decision 19).

    spared = carry_out_taken(plan, live, wanted, target, definition, ask, progress)
    spared.plan, spared.scope, spared.refused

The plan is tried; rows that are refused are left out, with the rows that refer to them; and what is left is tried
again from the state before, until nothing of it is refused. So what stands in the end is a plan like any other, of
fewer rows, carried out as a whole: its safety snapshot, its verification and its undo need to know nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from snapstore.errors import Conflict, Unsupported
from snapstore.operations.apply import apply, works
from snapstore.operations.ask import Ask
from snapstore.operations.capture import Progress
from snapstore.operations.diff import only_keys, pairs
from snapstore.operations.plan import Mode, Plan, make_plan
from snapstore.operations.rowvalues import keys_of
from snapstore.operations.scope import Scope, scoped_changes
from snapstore.operations.state import State, StateTable
from snapstore.rows import Cells
from snapstore.sources import Refusal, Source, Spares, Target, Trying

__all__ = ["Refused", "Spared", "carry_out_taken", "check_spares", "without_unturned"]

_Place = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was left out of a restore: its key by column (empty where rows have none) and in bytes, what was to be
    done to it (`insert` or `update`), and why the target does not take it, in the engine's words.
    """

    table: str
    key: Mapping[str, Any]
    key_bytes: bytes
    doing: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spared:
    """What was carried out in the end, the scope that means just that, and the rows that were left out, by table and
    key.
    """

    plan: Plan
    scope: Scope
    refused: tuple[Refused, ...]


def check_spares(source: Source) -> None:
    """Raise `Unsupported` for a source that cannot leave out the rows it refuses."""
    if not (isinstance(source, Spares) and source.spares_rows):
        raise Unsupported(
            f"{source.url} has no savepoints, so a row that is refused cannot be left out; nothing was changed",
            hint="Restore it without `--on-error skip`, which is for PostgreSQL and SQLite.",
        )


def without_unturned(ask: Ask, live: State, wanted: State) -> tuple[Ask, tuple[Refused, ...]]:
    """The same, but for rows that could not be turned into the live types, and those of them that it would have
    changed.
    """
    there = {table.name: table for table in live.tables}
    without: dict[str, frozenset[bytes]] = {}
    refused: list[Refused] = []
    for table in wanted.tables:
        if not table.unturned:
            continue
        keys = [one.key for one in table.unturned]
        without[table.name] = frozenset(keys)
        tree = there[table.name].tree
        old = set() if tree is None else set(tree.lookup(keys, ()).keys.to_list())
        meant = ask.scope.keys.get(table.name)
        for one in table.unturned:
            doing = "update" if one.key in old else "insert"
            if (meant is None or one.key in meant) and not (doing == "update" and ask.mode is Mode.SKIP):
                refused.append(_told(table, one, doing))
    return (replace(ask, scope=replace(ask.scope, without=without)) if without else ask), tuple(refused)


def _told(table: StateTable, one: Refusal, doing: str) -> Refused:
    return Refused(one.table, keys_of(table.table.key, Cells.of([one.key]))[0], one.key, doing, one.reason)


def carry_out_taken(
    plan: Plan, live: State, wanted: State, target: Target, definition: Mapping[str, Any], ask: Ask, progress: Progress
) -> Spared:
    """Change the target's rows as far as it takes them, and finish it. Nothing was changed where the plan is empty.

    Raises what is no row's own fault, and `Conflict` for a refused row of an index that is kept in tables, which would
    be none without it.
    """
    if not isinstance(target, Trying):
        raise Unsupported("the target cannot leave out rows")
    scope, refused = ask.scope, dict[_Place, Refused]()
    while not plan.is_empty:
        attempt = _Attempt(plan, live, wanted, scope)
        with target.trying(attempt.note) as tell:
            target.begin(definition, works(plan, live, wanted, target), privileges=ask.privileges, trusted=ask.trusted)
            apply(plan, live, wanted, target, scope, progress)
            attempt.follow(target, tell)
            if not attempt.found:
                target.finish()
        if not attempt.found:
            break
        refused |= attempt.refused()
        unturned = [(name, key) for name, own in ask.scope.without.items() for key in own]
        scope = replace(scope, without=_keys_by_table([*refused, *unturned]))
        plan = make_plan(live, wanted, ask.mode, scope=scope, recreate=ask.recreate)
    return Spared(plan, scope, tuple(refused[place] for place in sorted(refused)))


class _Attempt:
    """The rows that are refused while one plan is tried."""

    def __init__(self, plan: Plan, live: State, wanted: State, scope: Scope) -> None:
        self.found: dict[_Place, Refusal] = {}
        self._mode = plan.mode
        self._scope = scope
        recreated = {table.name for table in plan.tables if table.recreate}
        self._tables: dict[str, tuple[StateTable | None, StateTable]] = {
            new.name: (None if new.name in recreated else old, new)
            for old, new in pairs(live, wanted)
            if new is not None
        }

    def note(self, refusal: Refusal) -> None:
        """A row is refused."""
        whole = self._tables[refusal.table][1].table.part_of
        if whole:
            raise Conflict(
                f"{refusal.table}: a row cannot be left out, since it is part of {whole}: {refusal.reason}",
                hint="Nothing was changed. An index that is kept in tables means something only as a whole.",
            )
        self.found.setdefault((refusal.table, refusal.key), refusal)

    def follow(self, target: Trying, tell: Callable[[Refusal], None]) -> None:
        """Leave out rows that refer to rows that are not there now, those that refer to these, and so on."""
        if "update" in self._doings(self.found).values():
            return  # the live version of such a row will stay, and may be referred to: the next attempt has it
        while True:
            new: dict[_Place, Refusal] = {}
            for one in target.dangling():
                if (one.table, one.key) not in self.found:
                    new.setdefault((one.table, one.key), one)
            # A row that this plan does not write lost what it refers to: none is refused, and the engine will say so.
            doings = self._doings(new)
            inserted = [place for place, doing in doings.items() if doing == "insert"]
            for place in doings:
                tell(new[place])
            if not inserted:
                return
            for name, keys in _keys_by_table(inserted).items():
                target.delete(self._tables[name][1].table, [Cells.of(sorted(keys))])

    def refused(self) -> dict[_Place, Refused]:
        """The rows that were refused, as people are told of them."""
        doings = self._doings(self.found)
        return {
            place: _told(self._tables[one.table][1], one, doings.get(place, "update"))
            for place, one in self.found.items()
        }

    def _doings(self, places: Iterable[_Place]) -> dict[_Place, str]:
        """What the plan does to these rows, as far as it does anything."""
        doings: dict[_Place, str] = {}
        for name, keys in _keys_by_table(places).items():
            for changes in scoped_changes(*self._tables[name], self._scope):
                some = only_keys(changes, keys)
                doings |= {(name, key or b""): "insert" for key in some.added.keys.to_list()}
                if self._mode is not Mode.SKIP:
                    doings |= {(name, key or b""): "update" for key in some.changed.keys.to_list()}
        return doings


def _keys_by_table(places: Iterable[_Place]) -> dict[str, frozenset[bytes]]:
    found: dict[str, set[bytes]] = {}
    for table, key in places:
        found.setdefault(table, set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}
