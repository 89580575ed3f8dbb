"""Paths on the command line and in URLs, of both kinds of system on any."""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.sources.paths import in_url, is_path, of_url


@pytest.mark.parametrize(
    ("place", "url"),
    [
        (PurePosixPath("/home/me/my agent.db"), "/home/me/my%20agent.db"),
        (PurePosixPath("/home/C:/x"), "/home/C%3A/x"),
        (PureWindowsPath(r"C:\Users\me\my agent.db"), "/C:/Users/me/my%20agent.db"),
        (PureWindowsPath(r"\\server\share\ä.db"), "//server/share/%C3%A4.db"),
    ],
)
def test_a_path_has_one_form_in_a_url_and_comes_back(place: PurePath, url: str) -> None:
    assert in_url(place) == url
    assert type(place)(of_url(url, windows=isinstance(place, PureWindowsPath))) == place


@pytest.mark.parametrize(
    "url", ["/C:/a/b.db", "C:/a/b.db", r"C:\a\b.db", "//C:/a/b.db", "/C:%5Ca%5Cb.db", r"\C:\a\b.db"]
)
def test_windows_reads_a_drive_however_it_is_written(url: str) -> None:
    assert PureWindowsPath(of_url(url, windows=True)) == PureWindowsPath("C:/a/b.db")


@pytest.mark.parametrize("text", [".", "..", "./a", "../a", "/a"])
def test_these_are_paths_everywhere(text: str) -> None:
    assert is_path(text, windows=False)
    assert is_path(text, windows=True)


@pytest.mark.parametrize("text", [r".\a", r"..\a", r"\\server\share\a", "C:/a", r"c:\a", r"\a"])
def test_these_are_paths_on_windows_alone(text: str) -> None:
    assert is_path(text, windows=True)
    assert not is_path(text, windows=False)


@pytest.mark.parametrize("text", ["agents", ".hidden", "C:", "postgresql://me@db/agents", "s://x", "host=a dbname=b"])
def test_these_are_paths_nowhere(text: str) -> None:
    assert not is_path(text, windows=False)
    assert not is_path(text, windows=True)


@given(st.lists(st.text(st.characters(exclude_characters='\0/\\:*?"<>|', codec="utf-8"), min_size=1), min_size=1))
def test_every_path_comes_back(parts: list[str]) -> None:
    for place in (PurePosixPath("/", *parts), PureWindowsPath("C:\\", *parts), PureWindowsPath(r"\\s\t", *parts)):
        assert type(place)(of_url(in_url(place), windows=isinstance(place, PureWindowsPath))) == place
