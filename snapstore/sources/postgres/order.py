"""What must come before what: names and their needs, in an order that meets them.

    order, cycles = in_order({"view v": {"table t"}, "table t": {"type mood"}, "type mood": set()})
    order     # ['type mood', 'table t', 'view v']
    cycles    # []

The order depends on names and needs alone, so it is the same on every machine. It knows nothing of databases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

__all__ = ["closure", "in_order"]


def in_order(needs: Mapping[str, Collection[str]]) -> tuple[list[str], list[tuple[str, str]]]:
    """Every name after the names it needs, and the needs that a cycle made impossible to meet, as (name, needed).

    Needs that are not names themselves, and a need of itself, are passed over. Names that nothing decides between stand
    in order of name. Depth first, by hand, since chains of views can be longer than Python's stack.
    """
    done: list[str] = []
    state: dict[str, bool] = {}  # False while its needs are being met, True when it stands in `done`
    unmet: list[tuple[str, str]] = []
    for start in sorted(needs):
        if start in state:
            continue
        state[start] = False
        path = [(start, iter(sorted(needs[start])))]
        while path:
            name, rest = path[-1]
            needed = next(rest, None)
            if needed is None:
                path.pop()
                state[name] = True
                done.append(name)
            elif needed in needs and needed not in state:
                state[needed] = False
                path.append((needed, iter(sorted(needs[needed]))))
            elif needed != name and state.get(needed) is False:
                unmet.append((name, needed))
    return done, unmet


def closure(start: Iterable[str], *edges: Mapping[str, Collection[str]]) -> set[str]:
    """Everything reached from `start` along any of these edges, `start` included."""
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            for edge in edges:
                waiting.extend(edge.get(name, ()))
    return reached
