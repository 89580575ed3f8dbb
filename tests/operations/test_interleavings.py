"""Takes and a collection at once, call by call: every order that can make a difference leaves a whole repository."""

from __future__ import annotations

from random import Random

import pytest

from snapstore.repository import Repository
from tests.operations.crowd import (
    Operation,
    by_parent,
    by_policy,
    collecting,
    everything_is_well,
    nothing_is_left_behind,
    removing_all,
    repository_with_garbage,
    taking,
)
from tests.operations.schedules import Order, orders, random_order
from tests.soak import IS_SOAK

# What "gone" needs is garbage at the start: a take that finds it must not lose it to a gc. What must stay is told here.
CROWDS: dict[str, tuple[list[Operation], set[str]]] = {
    "two takes and a gc": ([by_parent("new"), taking("gone", 9), collecting], {"half", "old", "new", "gone"}),
    "a take, a removal and a gc": ([by_parent("new"), removing_all, collecting], set()),
    "a take and two gcs": ([taking("gone"), by_policy, collecting], {"gone"}),
}


def all_is_well(order: Order, stay: set[str]) -> None:
    assert order.errors == ()
    assert stay <= set(everything_is_well(order.backend))
    nothing_is_left_behind(order.backend)


@pytest.mark.parametrize("crowd", CROWDS if IS_SOAK else list(CROWDS)[:2])
def test_every_order_of_the_first_calls_leaves_all_well(crowd: str) -> None:
    (operations, stay), start, count = CROWDS[crowd], repository_with_garbage(), 0
    for order in orders(operations, start, depth=24 if IS_SOAK else 10):
        count += 1
        if IS_SOAK or count % 5 == 0:  # all of them are run; to look at each would take a minute
            all_is_well(order, stay)
        else:
            assert order.errors == ()
    assert count > (100 if IS_SOAK else 20)


@pytest.mark.parametrize("crowd", CROWDS)
def test_random_orders_of_all_calls_leave_all_well(crowd: str) -> None:
    (operations, stay), start = CROWDS[crowd], repository_with_garbage()
    first = next(orders(operations, start, depth=0))
    lengths = [first.calls.count(number) for number in range(len(operations))]
    for seed in range(3400 if IS_SOAK else 15):
        all_is_well(random_order(operations, start, lengths, Random(seed)), stay)


def test_what_does_not_see_each_other_is_tried_in_one_order_only() -> None:
    """Two readers have one order; a writer beside a reader has as many as there are places for its writes."""
    start = repository_with_garbage()

    def read(repository: Repository) -> None:
        repository.snapshots()

    def remove(repository: Repository) -> None:
        repository.remove(repository.snapshots()[0].id)

    assert len(list(orders([read, read, read], start, depth=30))) == 1
    # The removal comes before the listing, between it and the reading of that snapshot, or after.
    assert len(list(orders([read, remove], start, depth=30))) == 3
