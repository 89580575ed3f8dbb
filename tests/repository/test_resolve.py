"""Names of snapshots mean one snapshot, or say why they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from snapstore.errors import Invalid, NotFound
from snapstore.repository import Snapshot, resolve, resolve_all
from snapstore.repository.resolve import parse_moment

START = datetime(2026, 1, 30, 12, tzinfo=UTC)
SNAPSHOTS = [
    Snapshot("1111" + "0" * 28, START, "committed", tags=("before",)),
    Snapshot("1111" + "1" * 28, START + timedelta(hours=6), "committed", tags=("before", "x")),
    Snapshot("abcd" + "2" * 28, START + timedelta(days=1), "committed", safety="1" * 32),
    Snapshot("3333" + "3" * 28, START + timedelta(days=1, seconds=1), "committed"),
]


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("latest", 3),
        ("latest~0", 3),
        ("latest~1", 1),
        ("latest~2", 0),
        ("11110", 0),
        ("1" * 32, 1),
        ("3333", 3),
        ("abcd", 2),
        ("abcd~1", 1),
        ("before", 1),
        ("before~1", 0),
        ("@2026-01-30", 1),
        ("@2026-01-30T12:00", 0),
        ("@2026-01-30T12:00:00", 0),
        ("@2026-01-30~1", 0),
        ("@2099-01-01", 3),
    ],
)
def test_a_name_means_a_snapshot(name: str, at: int) -> None:
    assert resolve(SNAPSHOTS, name) is SNAPSHOTS[at]


@pytest.mark.parametrize("name", ["latest~3", "before~2", "abce", "nosuchtag", "@2026-01-29"])
def test_a_name_of_nothing_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        resolve(SNAPSHOTS, name)


@pytest.mark.parametrize("name", ["", "~1", "1111", "111", "latest~", "latest~-1", "@", "@tomorrow", "abc"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises((Invalid, NotFound)) as caught:
        resolve(SNAPSHOTS, name)
    assert caught.value.hint


def test_several_names_of_one_snapshot_mean_it_once() -> None:
    assert resolve_all(SNAPSHOTS, ["latest", "before", "3333", "11111"]) == [SNAPSHOTS[3], SNAPSHOTS[1]]


def test_an_empty_repository_says_so() -> None:
    with pytest.raises(NotFound, match="no snapshot yet"):
        resolve([], "latest")


def test_moments_end_what_they_name() -> None:
    assert parse_moment("2026-01-31") == datetime(2026, 2, 1, tzinfo=UTC)
    assert parse_moment("2026-01-31T14:30") == datetime(2026, 1, 31, 14, 31, tzinfo=UTC)
    assert parse_moment("2026-01-31T14:30:05") == datetime(2026, 1, 31, 14, 30, 6, tzinfo=UTC)
