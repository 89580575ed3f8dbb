"""The protocol of commit and collection, tried in every order of its steps: none loses what a snapshot needs."""

from __future__ import annotations

import pytest

from tests.protocol.model import Slot, System, Without, collected, loses, search
from tests.soak import IS_SOAK

SYSTEMS = [
    System(takes=2, collections=1, removals=1),
    System(takes=2, collections=1, removals=1, evictions=1),
]
# 7.7 million states take about four minutes.
LARGER = [
    System(takes=1, collections=2, removals=1),
    System(takes=2, collections=1, removals=2),
    System(takes=1, collections=2, removals=1, evictions=1),
    System(takes=1, collections=2, removals=2),
    System(takes=0, collections=3, removals=1),
    System(takes=3, collections=1, removals=1),
    System(takes=2, collections=2, removals=1),
]


@pytest.mark.parametrize("system", SYSTEMS + LARGER * IS_SOAK, ids=repr)
def test_no_order_of_steps_loses_what_a_committed_snapshot_needs(system: System) -> None:
    outcome = search(system)
    assert outcome.way == ()
    assert len(outcome.states) > 30_000


@pytest.mark.parametrize("takes", [1, *[2] * IS_SOAK])
def test_whoever_died_wherever_the_next_gc_leaves_only_what_is_needed(takes: int) -> None:
    for state in search(System(takes=takes, collections=1, removals=1)).states:
        left = collected(state)
        assert not loses(left)
        assert left.tombs == 0
        assert left.indexed & ~left.packs == 0
        # A pack of a take that died before it was indexed serves nobody; what is needed keeps it from being judged.
        assert Slot.COMMITTED in left.slots or left.packs == 0


@pytest.mark.parametrize("rule", [rule for rule in Without if rule != Without.NOTHING])
def test_without_any_one_of_its_rules_some_order_loses_data(rule: Without) -> None:
    outcome = search(System(takes=2, collections=1, removals=2, evictions=1, without=rule))
    assert outcome.way
    assert loses(outcome.way[-1])
    assert not any(loses(state) for state in outcome.way[:-1])
