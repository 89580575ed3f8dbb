"""The zoo on a server of the distribution (Debian's 15, with ICU), where one is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Corrupt
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources import Selection
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.world import World, roots
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


# Keys that are equal and not the same, and types that only this server has.
KEYS = """
    CREATE EXTENSION citext; CREATE EXTENSION seg; CREATE EXTENSION ltree; CREATE EXTENSION hstore;
    CREATE EXTENSION isn;
    CREATE COLLATION "no case" (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
    CREATE TABLE folded (k text COLLATE "no case" PRIMARY KEY, v int DEFAULT 0);
    INSERT INTO folded VALUES ('A'), ('b'), ('É');
    CREATE TABLE citexts (k citext, n numeric, v int DEFAULT 0, PRIMARY KEY (k, n));
    INSERT INTO citexts VALUES ('A', 1.0), ('b', 2);
    CREATE TABLE finer (k text COLLATE "no case" NOT NULL, v int DEFAULT 0);
    INSERT INTO finer VALUES ('A'), ('a'), ('b');
    CREATE UNIQUE INDEX ON finer (k COLLATE "C");
    CREATE TABLE coarser (k text NOT NULL, v int DEFAULT 0); INSERT INTO coarser VALUES ('A'), ('b');
    CREATE UNIQUE INDEX ON coarser (k COLLATE "no case");
    CREATE TABLE texts (s seg, l ltree, i isbn, v int DEFAULT 0, PRIMARY KEY (s, l, i));
    INSERT INTO texts SELECT s::seg, l::ltree, '0-11-000533-3' FROM (VALUES ('1..2', 'a.b'), ('~5', 'a'), ('~5', 'a.b'))
      AS x (s, l);
    CREATE TABLE bag (h hstore, hs hstore[], c citext[], x xml);
    INSERT INTO bag SELECT 'a=>NULL, b=>""', '{a=>1,NULL}', '{A,a}',
      '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>' FROM generate_series(1, 2);
    INSERT INTO bag (x) VALUES ('<?xml version="1.1" standalone="yes"?><a/>'), ('a<b/>'), ('<!DOCTYPE a><a/>');
"""


def test_keys_that_are_equal_and_not_the_same_and_types_of_contrib_come_back(debian: str) -> None:
    run(f"{debian} dbname=postgres", "CREATE DATABASE keys")
    run(f"{debian} dbname=postgres", "CREATE DATABASE keys_anew")
    run(f"{debian} dbname=keys", KEYS)
    repository = Repository.init(MemoryBackend())
    world, anew = (World(repository, f"{debian} dbname={name}") for name in ("keys", "keys_anew"))
    with world.source.view(Selection()) as view:
        parts = {table.definition["name"]: [part.name for part in table.key] for table in view.tables}
    # The index of `finer` tells rows apart that its column holds equal: a key would find both.
    assert parts == {
        "folded": ["k"], "citexts": ["k", "n"], "finer": [""], "coarser": ["k"], "texts": ["s", "l", "i"], "bag": [""]
    }  # fmt: skip
    snapshot = world.take()
    anew.restore(snapshot)
    assert lines(dump(anew.url)) == lines(dump(world.url))
    # Also where servers note in the catalogue when a column came to be.
    assert roots(anew.take()) == roots(snapshot)
    for table in ("folded", "citexts", "finer", "coarser", "texts"):
        world.run(f"UPDATE {table} SET v = 1 WHERE ctid < '(0,3)'; DELETE FROM {table} WHERE ctid = '(0,3)'")
    world.run("DELETE FROM bag WHERE ctid = '(0,1)'; INSERT INTO finer VALUES ('B')")
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)
    # Equal to the server and not the same: another key, in whose way the live row is.
    world.run("UPDATE folded SET k = 'B' WHERE k = 'b'; UPDATE citexts SET k = 'a', n = 1.00 WHERE k = 'A'")
    found = world.status(snapshot)
    assert [(found[name].added, found[name].removed) for name in ("public.folded", "public.citexts")] == [(1, 1)] * 2
    with pytest.raises(Conflict, match="already exists"):
        world.restore(snapshot, Mode.UPDATE)
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)


def test_a_row_that_the_server_cannot_put_together_is_named(debian: str) -> None:
    """Its large value lost its pieces (pg_surgery takes them away, as a bad disk does)."""
    run(f"{debian} dbname=postgres", "CREATE DATABASE torn")
    torn = World(Repository.init(MemoryBackend()), f"{debian} dbname=torn")
    torn.run(
        "CREATE TABLE t (a text, b int, body text, PRIMARY KEY (a, b)); ALTER TABLE t ALTER body SET STORAGE EXTERNAL"
    )
    torn.run(
        "INSERT INTO t SELECT 'key', g, repeat('x', 3000) FROM generate_series(1, 20) g; CREATE TABLE bag AS TABLE t"
    )
    torn.run(
        "CREATE EXTENSION pg_surgery; DO $$ DECLARE toast regclass; places tid[]; BEGIN "
        "SELECT reltoastrelid INTO toast FROM pg_class WHERE relname = 't'; "
        "EXECUTE format('SELECT array_agg(ctid) FROM %s WHERE chunk_id = "
        "(SELECT chunk_id FROM %s GROUP BY 1 ORDER BY 1 OFFSET 12 LIMIT 1)', toast, toast) INTO places; "
        "PERFORM heap_force_kill(toast, places); END $$"
    )
    with pytest.raises(
        Corrupt, match=r"the row \(a, b\)=\(key, 13\) of public\.t cannot be read: missing chunk number 0"
    ):
        torn.take("t")
    assert torn.take("bag").sources[0].tables[0].rows == 20
    assert torn.take("t", where={"public.t": "b <> 13"}).sources[0].tables[0].rows == 19
