"""What a policy keeps: restic's rules on known dates, and the laws they obey on any."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Invalid
from snapstore.operations.retention import SAFETY_KEPT, Policy, choose, parse_duration
from snapstore.repository import Snapshot, SnapshotSource

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")


def snapshot(number: int, time: datetime, *, sources: Sequence[str] = ("agents",), **fields: object) -> Snapshot:
    held = tuple(SnapshotSource(name, "postgresql", "postgresql://h/d", ()) for name in sources)
    made = Snapshot(f"{number:032x}", time, "committed", sources=held)
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]  # as given


def days(*ages: float) -> list[Snapshot]:
    return [snapshot(number, NOW - timedelta(days=age)) for number, age in enumerate(ages)]


def kept(snapshots: Sequence[Snapshot], policy: Policy, now: datetime = NOW) -> set[str]:
    return {choice.snapshot.id for choice in choose(snapshots, policy, now) if choice.keep}


def numbers(snapshots: Sequence[Snapshot], policy: Policy, now: datetime = NOW) -> list[int]:
    return sorted(int(id_, 16) for id_ in kept(snapshots, policy, now))


def test_an_empty_policy_is_refused() -> None:
    for policy in (Policy(), Policy(keep_within=timedelta(0)), Policy(keep_tags=())):
        with pytest.raises(Invalid, match="keeps nothing"):
            choose(days(1), policy, NOW)
    with pytest.raises(Invalid, match="fewer than 0"):
        choose(days(1), Policy(keep_last=-1), NOW)
    with pytest.raises(Invalid, match="less than no time"):
        choose(days(1), Policy(keep_within=timedelta(days=-1)), NOW)


def test_each_rule_keeps_the_newest_of_its_last_periods() -> None:
    half_days = days(*(0.5 * n for n in range(20)))  # noon and midnight: two a day
    assert numbers(half_days, Policy(keep_last=3)) == [0, 1, 2]
    # Noon of the first day; of the days before, noon is newer than midnight.
    assert numbers(half_days, Policy(keep_daily=3)) == [0, 2, 4]
    assert numbers(half_days, Policy(keep_hourly=4)) == [0, 1, 2, 3]
    assert numbers(half_days, Policy(keep_last=1, keep_daily=2)) == [0, 2]


def test_weeks_are_iso_weeks_and_years_end_with_them() -> None:
    # 2024-12-30 is Monday of week 1 of 2025; 2025-01-01 is in it too.
    dates = [datetime(2025, 1, 5, tzinfo=UTC), datetime(2024, 12, 30, tzinfo=UTC), datetime(2024, 12, 29, tzinfo=UTC)]
    snapshots = [snapshot(number, date) for number, date in enumerate(dates)]
    assert numbers(snapshots, Policy(keep_weekly=2)) == [0, 2]
    assert numbers(snapshots, Policy(keep_yearly=2)) == [0, 1]
    assert numbers(snapshots, Policy(keep_monthly=1)) == [0]


def test_periods_are_of_utc_whatever_zone_a_time_has() -> None:
    abroad = datetime.fromisoformat("2026-02-01T01:00:00+05:00")  # still January in UTC
    snapshots = [snapshot(0, datetime(2026, 2, 1, 2, tzinfo=UTC)), snapshot(1, abroad), snapshot(2, NOW)]
    assert numbers(snapshots, Policy(keep_monthly=2)) == [0, 2]
    assert numbers(snapshots, Policy(keep_monthly=3)) == [0, 1, 2]


def test_the_oldest_stays_while_there_is_room() -> None:
    snapshots = [snapshot(n, datetime(2026, 2, 28 - n, tzinfo=UTC)) for n in range(20)]
    assert numbers(snapshots, Policy(keep_yearly=2)) == [0, 19]
    (oldest,) = [choice for choice in choose(snapshots, Policy(keep_yearly=2), NOW) if choice.snapshot is snapshots[19]]
    assert oldest.reasons == ("oldest yearly",)
    assert numbers(snapshots, Policy(keep_yearly=1)) == [0]


def test_keep_within_counts_back_from_the_newest_not_from_now() -> None:
    snapshots = days(100, 103, 110)
    assert numbers(snapshots, Policy(keep_within=timedelta(days=5))) == [0, 1]
    ahead = [*days(0, 3, 10), snapshot(9, NOW + timedelta(days=1000))]
    assert numbers(ahead, Policy(keep_within=timedelta(days=5))) == [0, 1, 9]


def test_what_is_dated_in_the_future_pushes_nothing_out() -> None:
    ahead = [snapshot(9, NOW + timedelta(days=1000)), snapshot(8, NOW + timedelta(days=2))]
    assert numbers([*days(0, 1, 2), *ahead], Policy(keep_last=1)) == [0, 8, 9]
    assert numbers([*days(0, 1, 2), *ahead], Policy(keep_daily=2, keep_yearly=1)) == [0, 1, 8, 9]
    # Clocks that differ by minutes are as good as one.
    assert numbers([*days(0, 1), snapshot(9, NOW + timedelta(minutes=5))], Policy(keep_last=1)) == [9]
    # A clock that is years behind removes nothing.
    assert numbers(days(0, 1, 2), Policy(keep_last=1), NOW - timedelta(days=9000)) == [0, 1, 2]


def test_the_newest_of_each_set_of_sources_stays_whatever_the_policy() -> None:
    old = snapshot(1, NOW - timedelta(days=900), sources=("graph",))
    both = snapshot(2, NOW - timedelta(days=800), sources=("graph", "agents"))
    swapped = snapshot(3, NOW - timedelta(days=801), sources=("agents", "graph"))
    snapshots = [*days(0, 1), old, both, swapped]
    assert numbers(snapshots, Policy(keep_last=1)) == [0, 1, 2]
    snapshots = [*days(0), old, both, swapped]
    assert numbers(snapshots, Policy(keep_tags=("nothing has this",))) == [0, 1, 2]


def test_tags_and_pins_keep() -> None:
    snapshots = [
        *days(0, 1),
        snapshot(2, NOW - timedelta(days=50), tags=("release", "x")),
        snapshot(3, NOW - timedelta(days=60), pinned=True),
        snapshot(4, NOW - timedelta(days=70), tags=("other",)),
    ]
    choices = choose(snapshots, Policy(keep_tags=("release",)), NOW)
    assert [choice.reasons for choice in choices] == [("newest of its sources",), (), ("tag release",), ("pinned",), ()]
    assert [choice.snapshot for choice in choices] == snapshots


def test_a_state_before_a_restore_is_kept_for_its_time_and_pushes_nothing_out() -> None:
    safe = [snapshot(10 + age, NOW - timedelta(days=age), safety="a" * 32) for age in (0, 29, 30, 31)]
    snapshots = [*days(0, 1, 2), *safe]
    assert numbers(snapshots, Policy(keep_last=2)) == [0, 1, 10, 39, 40]
    assert numbers(snapshots, Policy(keep_last=50)) == [0, 1, 2, 10, 39, 40], "no count keeps it longer"
    assert 41 in numbers(snapshots, Policy(keep_within=timedelta(days=40)))
    # A clock a hundred years ahead, or takes that have stopped, remove nothing.
    assert numbers(snapshots, Policy(keep_last=2), NOW + timedelta(days=36500)) == [0, 1, 10, 39, 40]


times = st.datetimes(datetime(2020, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # drawn as UTC


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    drawn = draw(st.lists(st.tuples(times, st.integers(0, 15)), max_size=40))
    return [
        snapshot(
            number,
            time,
            sources=("agents", "graph")[: 1 + bits % 2],
            pinned=bits & 6 == 6,
            tags=("kept",) if bits & 8 else (),
            safety="b" * 32 if bits & 12 == 4 else None,
        )
        for number, (time, bits) in enumerate(drawn)
    ]


policies = st.builds(
    Policy,
    **{field: st.integers(0, 6) for field in COUNTS},
    keep_within=st.none() | st.timedeltas(timedelta(0), timedelta(days=800)),
    keep_tags=st.sampled_from([(), ("kept",)]),
).filter(lambda policy: not policy.is_empty)


@given(histories(), policies, policies)
def test_a_policy_that_asks_for_more_keeps_no_less(snapshots: list[Snapshot], one: Policy, other: Policy) -> None:
    none = timedelta(0)
    more = Policy(
        **{field: max(getattr(one, field), getattr(other, field)) for field in COUNTS},
        keep_within=max(one.keep_within or none, other.keep_within or none),
        keep_tags=one.keep_tags or other.keep_tags,
    )
    assert kept(snapshots, one) <= kept(snapshots, more)


@given(histories(), policies, times)
def test_what_is_pinned_newest_or_a_fresh_safety_is_never_removed(
    snapshots: list[Snapshot], policy: Policy, now: datetime
) -> None:
    choices = choose(snapshots, policy, now)
    assert [choice.snapshot for choice in choices] == snapshots
    assert all(choice.keep == bool(choice.reasons) for choice in choices)
    removed = [choice.snapshot for choice in choices if not choice.keep]
    assert not any(one.pinned for one in removed)
    for one in removed:
        if one.safety is not None:
            assert now - one.time > SAFETY_KEPT or max(s.time for s in snapshots) - one.time > SAFETY_KEPT
        else:
            alike = [s for s in snapshots if len(s.sources) == len(one.sources) and s.safety is None]
            assert max(alike, key=lambda s: (s.time, s.id)) is not one


@given(histories(), policies)
def test_what_is_kept_stays_kept_when_the_rest_is_gone(snapshots: list[Snapshot], policy: Policy) -> None:
    first = kept(snapshots, policy)
    left = [one for one in snapshots if one.id in first]
    assert kept(left, policy) == first


@pytest.mark.parametrize(
    ("text", "hours"),
    [("30d", 720), ("12h", 12), ("2w", 336), ("6m", 6 * 31 * 24), ("1y", 366 * 24), ("1y6m2w1d3h", 13611), ("0d", 0)],
)
def test_durations(text: str, hours: int) -> None:
    assert parse_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "1d1y", "3 d", "30D", "9" * 30 + "y", "1d\n"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"duration|too long"):
        parse_duration(text)
