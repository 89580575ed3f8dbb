"""Patterns against names: what they mean, and that no name makes them slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.sources.patterns import fits


@pytest.mark.parametrize(
    ("pattern", "name", "is_meant"),
    [
        ("memories", "public.memories", True),
        ("memories", "other.memories", True),
        ("public.memories", "other.memories", False),
        ("public.*", "public.memories", True),
        ("public.*", "publics.memories", False),
        ("Memories", "public.memories", False),
        ("a.b", "axb", False),
        ("[m]emories", "public.memories", False),
        ("vector", "vector", True),
        ("*", 'a."b.c"', True),
        ("mem*", "public.memories", True),
        ("public.*", "public.a\nb", True),
        ("m?m*s", "public.memories", True),
        ("m?m*t", "public.memories", False),
        ("a**b", "public.ab", True),
        ("[a]", "public.a", False),
        ("[a]", "public.[a]", True),
        ("order", '"Tenant.A".order', True),
        ("*.order", "public.order", True),
        ("", "public.order", False),
    ],
)
def test_a_pattern_means_these_names(pattern: str, name: str, is_meant: bool) -> None:
    assert fits(pattern, name) is is_meant


def slowly(pattern: str, name: str) -> bool:
    """By the book: a star is nothing, or one character and a star."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return slowly(pattern[1:], name) or (bool(name) and slowly(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and slowly(pattern[1:], name[1:])


@given(st.text("a*?b.", max_size=7), st.text("ab*?", max_size=8))
def test_stars_and_question_marks_mean_what_they_say(pattern: str, name: str) -> None:
    assert fits(f".{pattern}", f".{name}") == slowly(pattern, name)


def test_a_name_of_stars_is_a_pattern_that_fits_it_at_once() -> None:
    """Where a try at every place is a try at every place for each star before, this does not end."""
    name = "ran dom." + "*/9" * 15
    assert fits(name, name)
    assert not fits(name, name + "x")
    assert not fits("*a" * 30, "." + "a" * 60 + "b")
