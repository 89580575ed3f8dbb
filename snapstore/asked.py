"""What a program asks for in plain words, as the operations take it: sources by URL, tables and keys by name.

    live, ask = asked(repository, snapshot, "update", "postgresql://me@/agents", None, ["memories"], None, None, False)

It does nothing itself: `snapstore.api` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid, NotFound
from snapstore.operations.ask import Ask, OnError
from snapstore.operations.named import one_table, row_key
from snapstore.operations.plan import Mode
from snapstore.operations.scope import Scope
from snapstore.operations.sparing import Refused
from snapstore.operations.state import State, of_snapshot
from snapstore.operations.take import Request
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.rows import Batch
from snapstore.sources import Selection, Source, opening

__all__ = ["asked", "held_in", "matching_of", "on_error_of", "opened", "request_of", "source"]


def source(url: str, *, key: str = "") -> Source:
    """The live source under a URL, or in a folder written as a path (`./memory`); nothing is connected to yet.

    `key` is for a Qdrant whose URL has none. Raises `Invalid`, or `Unsupported` where an extra is missing.
    """
    return opening.source(opening.url_of_path(url), key=key)


def opened(one: str | Source) -> Source:
    """The source that is meant."""
    return source(one) if isinstance(one, str) else one


def request_of(one: str | Source | Request, name: str | None, selection: Selection) -> Request:
    """What to take of a source, named for its database unless there is a name."""
    if isinstance(one, Request):
        return one if name is None else replace(one, name=name)
    found = opened(one)
    return Request(name or opening.name_of(found.url), found, selection)


def held_in(snapshot: Snapshot, name: str | None) -> SnapshotSource:
    """The source of a snapshot that has this name, or the only one. Raises `Invalid` naming those there are."""
    found = [own for own in snapshot.sources if name in (None, own.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(own.name for own in snapshot.sources)
    if found:
        raise Invalid(f"the snapshot {snapshot.id[:8]} has several sources", hint=f"Pick one as `source`: {names}.")
    raise Invalid(f"the snapshot {snapshot.id[:8]} has no source {name!r}", hint=f"It has: {names}.")


def asked(
    repository: Repository,
    snapshot: Snapshot,
    mode: Mode | str,
    to: str | Source | None,
    source: str | None,
    tables: Sequence[str],
    keys: Mapping[str, Sequence[str]] | None,
    where: Mapping[str, str] | None,
    recreate: bool,
    on_error: OnError | str = OnError.STOP,
    only: Sequence[Refused] | None = None,
) -> tuple[Source, Ask]:
    """The live source and the rows that a restore means. Raises `Invalid` for names that mean nothing, `NotFound` for a
    row that is not in the snapshot.
    """
    if only is not None and (tables or keys or where or mode == Mode.EXACT):
        raise Invalid("`only` says which rows are meant, and none is deleted", hint="Leave out the other choice.")
    held = held_in(snapshot, source)
    state = of_snapshot(repository, snapshot, held.name)
    wanted = _mode(mode)
    parsed: dict[str, list[bytes]] = {}
    for table, texts in (keys or {}).items():
        own = one_table(state.tables, table, state.label)
        # What only the live table has, an exact restore may delete.
        absent = wanted is Mode.EXACT
        parsed[own.name] = sorted({row_key([state], own, text, state.label, absent=absent) for text in texts})
    for one in only or ():
        parsed.setdefault(one_table(state.tables, one.table, state.label).name, []).append(one.key_bytes)
    parsed = {name: sorted(set(own)) for name, own in parsed.items()}
    for name, keyed in parsed.items() if only is not None else ():
        tree = one_table(state.tables, name, state.label).tree
        if tree is None or set(keyed) - set(tree.lookup(keyed, ()).keys.to_list()):
            raise NotFound(f"a row of `only` is no row of {name} in {state.label}", hint="Restore what it is of.")
    if only is not None and not parsed:
        parsed = {table.name: [] for table in state.tables[:1]}  # no rows, which is not every row
    conditions = {one_table(state.tables, table, state.label).name: text for table, text in (where or {}).items()}
    patterns = tuple(tables) or tuple(dict.fromkeys([*parsed, *conditions]))
    ask = Ask(
        mode=wanted,
        source=held.name,
        tables=patterns,
        scope=Scope(keys=parsed, where=conditions),
        recreate=recreate,
        on_error=on_error_of(on_error),
    )
    return opened(to or held.url), ask


def matching_of(
    stack: ExitStack, snapshot: Snapshot, state: State, to: str | Source | None, where: Mapping[str, str] | None
) -> dict[str, Callable[[Batch], NDArray[np.bool_]]]:
    """By table, what tells the rows that meet its condition: the live source does, for as long as the stack is open."""
    found = {}
    for name, text in (where or {}).items():
        own = one_table(state.tables, name, state.label)
        live = opened(to or held_in(snapshot, own.source).url)
        found[own.name] = stack.enter_context(live.matching(own.table, text))
    return found


def on_error_of(word: OnError | str) -> OnError:
    """What is to be done about a row that is refused. Raises `Invalid` for another word."""
    try:
        return OnError(word)
    except ValueError as error:
        raise Invalid(f"{word!r} is nothing to do about an error", hint="It is stop or skip.") from error


def _mode(mode: Mode | str) -> Mode:
    try:
        return Mode(mode)
    except ValueError as error:
        raise Invalid(f"{mode!r} is no mode of a restore", hint="It is skip, update or exact.") from error
