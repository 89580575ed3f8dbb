"""Tables in the documents name the tests that prove them; those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def written_tests() -> set[str]:
    written = "".join(path.read_text(encoding="utf-8") for path in HERE.rglob("*.py"))
    return set(re.findall(r"^ *def (test_\w+)\(", written, re.MULTILINE))


def test_the_review_of_security_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (HERE.parent / "docs" / "security.md").read_text(encoding="utf-8")))
    assert len(named) > 10
    assert named <= written_tests()


@pytest.mark.parametrize("document", ["clients.md", "files.md", "postgresql.md", "qdrant.md", "sqlite.md"])
def test_every_line_of_a_table_names_tests_that_exist(document: str) -> None:
    there = written_tests()
    lines = (HERE.parent / "docs" / document).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(("|---", "| what |", "| client |"))]
    assert rows
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, f"no test: {row}"
        assert set(named) <= there, f"not there: {set(named) - there}"
