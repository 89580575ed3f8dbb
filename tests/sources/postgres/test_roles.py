"""A role that is no superuser and owns one schema takes it and gets it back, with no word that is not true."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Invalid, Unsupported
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources import Selection
from snapstore.sources.postgres.source import PostgresSource

OTHERS = """
    CREATE TABLE public.secrets (id int PRIMARY KEY, word text); INSERT INTO public.secrets VALUES (1, 'x');
    CREATE SCHEMA closed; CREATE TABLE closed.vault (id serial PRIMARY KEY);
    CREATE SCHEMA app AUTHORIZATION app;
"""
MINE = """
    CREATE TYPE app.mood AS ENUM ('good', 'bad');
    CREATE FUNCTION app.count_it() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN INSERT INTO app.fired (what) VALUES (TG_OP); RETURN NULL; END $f$;
    CREATE TABLE app.fired (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
    CREATE TABLE app.agent (id serial PRIMARY KEY, name text UNIQUE, best int);
    CREATE TABLE app.memory (id uuid PRIMARY KEY, agent int REFERENCES app.agent ON DELETE CASCADE, feeling app.mood,
      content text, embedding vector(3), search tsvector GENERATED ALWAYS AS (to_tsvector('simple', content)) STORED);
    ALTER TABLE app.agent ADD CONSTRAINT best FOREIGN KEY (id) REFERENCES app.agent DEFERRABLE;
    CREATE INDEX ON app.memory USING hnsw (embedding vector_l2_ops);
    CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON app.memory FOR EACH ROW EXECUTE FUNCTION app.count_it();
    CREATE RULE quiet AS ON DELETE TO app.agent DO ALSO NOTIFY gone;
    ALTER TABLE app.memory ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON app.memory USING (agent > 0);
    CREATE VIEW app.happy AS SELECT * FROM app.memory WHERE feeling = 'good';
    CREATE MATERIALIZED VIEW app.counts AS SELECT agent, count(*) AS n FROM app.happy GROUP BY agent;
    ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO other;
    GRANT SELECT ON app.agent TO other;
    INSERT INTO app.agent (name) VALUES ('a'), ('b');
    INSERT INTO app.memory SELECT md5(i::text)::uuid, 1 + i % 2, 'good', 'words ' || i, ARRAY[i, 1, 2]::real[]
      FROM generate_series(1, 50) i;
    REFRESH MATERIALIZED VIEW app.counts;
"""


@pytest.fixture
def url(databases: Callable[..., str], server: EmbeddedServer) -> Iterator[str]:
    """A database with a schema of the role app, things of others, and the URL for that role."""
    admin = databases(vector=True)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE app LOGIN; CREATE ROLE other")
        try:
            connection.execute(OTHERS.encode())
            mine = psycopg.conninfo.make_conninfo(admin, user="app")
            with psycopg.connect(mine, autocommit=True) as own:
                own.execute(MINE.encode())
            yield mine
        finally:
            for statement in ("DROP OWNED BY other CASCADE", "DROP OWNED BY app CASCADE", "DROP ROLE app, other"):
                connection.execute(statement)


def test_one_schema_is_taken_and_comes_back_after_its_loss(url: str, pg_dump: Callable[..., str]) -> None:
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    before = pg_dump(url, "--schema", "app")
    taken = take(repository, [Request("app", source, Selection(tables=("app.*",)))])
    assert taken.is_complete
    assert taken.snapshot.sources[0].missing == ()
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("DROP OWNED BY app CASCADE")  # the schema too
    admin = psycopg.conninfo.make_conninfo(url, user="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        [(name,)] = connection.execute("SELECT quote_ident(current_database())").fetchall()
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO app".encode())
    restored = restore(repository, taken.snapshot, source, Ask())
    assert restored.notes == ("what was made belongs to app",)
    assert pg_dump(url, "--schema", "app") == before


def test_rows_come_back_into_a_living_schema(url: str, pg_dump: Callable[..., str]) -> None:
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    taken = take(repository, [Request("app", source, Selection(tables=("app.*",)))])
    before = pg_dump(url, "--schema", "app")
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("DELETE FROM app.agent WHERE name = 'a'")
        own.execute("UPDATE app.memory SET embedding = '[0,0,0]'")
        own.execute("INSERT INTO app.agent (name) VALUES ('late')")
    restored = restore(repository, taken.snapshot, source, Ask(Mode.EXACT))
    assert restored.notes == ()
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("SELECT setval('app.agent_id_seq', 2), setval('app.fired_id_seq', 50)")  # they only move forward
    assert pg_dump(url, "--schema", "app") == before


def test_what_belongs_to_others_is_refused_or_missing_by_name(url: str) -> None:
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    with pytest.raises(Unsupported) as caught:
        take(repository, [Request("app", source)])
    told = [line.strip() for line in caught.value.message.splitlines()[1:]]
    assert told == [
        "sequence closed.vault_id_seq: this role may not use its schema",
        "table closed.vault: this role may not use its schema",
        "table public.secrets: this role may not read it",
    ]
    taken = take(repository, [Request("app", source, Selection(partial=True))])
    assert not taken.is_complete
    assert sorted(taken.snapshot.sources[0].missing) == told
    assert [table.name for table in taken.snapshot.sources[0].tables] == ["app.agent", "app.fired", "app.memory"]


def test_privileges_on_the_servers_own_things_are_told_where_they_cannot_be_given(
    url: str, databases: Callable[..., str]
) -> None:
    source = databases()
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY); GRANT SELECT ON t TO other")
        connection.execute("GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO other")
        repository = Repository.init(MemoryBackend())
        taken = take(repository, [Request("db", PostgresSource(source))])
    target = databases()
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO other")
        connection.execute("GRANT CREATE ON SCHEMA public TO app")
    as_app = PostgresSource(psycopg.conninfo.make_conninfo(target, user="app"))
    restored = restore(repository, taken.snapshot, as_app, Ask())
    assert restored.notes == (
        "EXECUTE on FUNCTION pg_ls_dir(text) is not given to other: it is the server's own",
        "what was made belongs to app",
    )
    with psycopg.connect(target, autocommit=True) as connection:
        may = connection.execute("SELECT has_function_privilege('other', 'pg_read_file(text)', 'EXECUTE')").fetchall()
        connection.execute("DROP OWNED BY app")
        connection.execute("DROP OWNED BY other")
    assert may == [(True,)], "what others have on the server's own things is theirs"
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("DROP OWNED BY other")


def test_what_a_role_may_not_change_is_refused_before_anything_is_done(url: str, pg_dump: Callable[..., str]) -> None:
    admin = psycopg.conninfo.make_conninfo(url, user="postgres")
    repository = Repository.init(MemoryBackend())
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON public.secrets TO app")
        source = PostgresSource(url)
        taken = take(repository, [Request("app", source, Selection(tables=("public.secrets",)))])
        connection.execute("DELETE FROM public.secrets")
    before = pg_dump(admin)
    with pytest.raises(Invalid, match=r"public\.secrets cannot be locked: permission denied"):
        restore(repository, taken.snapshot, source, Ask())
    assert pg_dump(admin) == before


def test_a_table_of_another_role_is_restored_unless_something_would_fire(url: str) -> None:
    admin = psycopg.conninfo.make_conninfo(url, user="postgres")
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON public.secrets TO app")
        connection.execute(
            "ALTER TABLE public.secrets ADD e vector(2); CREATE INDEX ON public.secrets USING hnsw (e vector_l2_ops)"
        )
        taken = take(repository, [Request("app", source, Selection(tables=("public.secrets",)))])
        connection.execute("DELETE FROM public.secrets")
        restore(repository, taken.snapshot, source, Ask())
        assert connection.execute("SELECT id, word FROM public.secrets").fetchall() == [(1, "x")]
        connection.execute("DELETE FROM public.secrets")
        connection.execute(
            "CREATE TRIGGER tell AFTER INSERT ON public.secrets FOR EACH ROW EXECUTE FUNCTION app.count_it()"
        )
        with pytest.raises(
            Invalid, match=r"the trigger tell of public\.secrets would fire, and this role may not disable it"
        ):
            restore(repository, taken.snapshot, source, Ask())
        connection.execute("ALTER TABLE public.secrets DISABLE TRIGGER tell")
        restore(repository, taken.snapshot, source, Ask())
        assert connection.execute("SELECT count(*) FROM public.secrets").fetchall() == [(1,)]
        connection.execute(
            "DROP TRIGGER tell ON public.secrets; CREATE RULE quiet AS ON INSERT TO public.secrets DO ALSO NOTIFY x"
        )
        connection.execute("DELETE FROM public.secrets")
        with pytest.raises(Invalid, match="the rule quiet"):
            restore(repository, taken.snapshot, source, Ask())
