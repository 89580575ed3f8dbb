"""The zoo on a server of the distribution (Debian's 15, with ICU), where one is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.postgres.source import PostgresSource
from tests.sources.postgres.distribution import PROGRAMS, dump, is_installed, running_server
from tests.sources.postgres.test_objects import OBJECTS, lines, run

# What only a server with ICU has.
ICU = """
    CREATE COLLATION public."no case" (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
    CREATE COLLATION public."German" (PROVIDER = icu, LOCALE = 'de-u-co-phonebk');
    CREATE DOMAIN public.name AS text COLLATE public."no case";
    CREATE TABLE public.names (id int PRIMARY KEY, n text COLLATE "German" UNIQUE, m public.name);
    INSERT INTO public.names VALUES (1, 'Ärger', 'A'), (2, 'Zorn', 'a');
"""


@pytest.fixture(scope="module")
def debian() -> Iterator[str]:
    """The URL of a server of the distribution, without a database's name."""
    if not is_installed():
        pytest.skip(f"there is no PostgreSQL in {PROGRAMS} (apt-get install postgresql-15)")
    with running_server() as folder:
        yield f"host={folder} user=postgres"


def test_objects_come_back_on_a_server_of_the_distribution(debian: str) -> None:
    run(f"{debian} dbname=postgres", 'CREATE ROLE "a reader"; CREATE ROLE "App Owner"')
    for name in ("source", "target"):
        run(f"{debian} dbname=postgres", f"CREATE DATABASE {name}")
    source, target = (f"{debian} dbname={name}" for name in ("source", "target"))
    # Without pgvector, which has a package of its own: an extension of contrib stands in for it.
    statements = OBJECTS.replace("EXTENSION vector", "EXTENSION hstore")
    statements = statements.replace('"Out Side".vector(2)', '"Out Side".hstore').replace("'[1,2]'), (2", "'a=>1'), (2")
    statements = re.sub(r"CREATE INDEX things_v .*\n", "", statements)
    statements = statements.replace("vector_in(cstring, oid, integer)", "hstore_in(cstring)")
    run(source, statements + ICU)
    repository = Repository.init(MemoryBackend())
    taken = take(repository, [Request("zoo", PostgresSource(source))])
    assert taken.is_complete
    restore(repository, taken.snapshot, PostgresSource(target), Ask())
    assert lines(dump(target)) == lines(dump(source))
