"""Views, targets and sources have the very methods that operations call: mypy compares them, argument by argument."""

from __future__ import annotations

from snapstore.sources import Converts, Dated, Hinting, Noting, Source, Target, View
from snapstore.sources.files.source import FilesSource
from snapstore.sources.files.target import FilesTarget
from snapstore.sources.files.view import FilesView
from snapstore.sources.postgres.source import PostgresSource
from snapstore.sources.postgres.target import PostgresTarget
from snapstore.sources.postgres.view import PostgresView
from snapstore.sources.qdrant.source import QdrantSource
from snapstore.sources.qdrant.target import QdrantTarget
from snapstore.sources.qdrant.view import QdrantView
from snapstore.sources.sqlite.source import SqliteSource
from snapstore.sources.sqlite.target import SqliteTarget
from snapstore.sources.sqlite.view import SqliteView

# At run time `isinstance` looks only for names, so a protocol that grew an argument would be found out by a user.
NOTING: tuple[type[Noting], ...] = (FilesView,)
HINTING: tuple[type[Hinting], ...] = (PostgresView, FilesView)
DATED: tuple[type[Dated], ...] = (PostgresView, SqliteView, FilesView)
VIEWS: tuple[type[View], ...] = (PostgresView, SqliteView, FilesView, QdrantView)
TARGETS: tuple[type[Target], ...] = (PostgresTarget, SqliteTarget, FilesTarget, QdrantTarget)
SOURCES: tuple[type[Source], ...] = (PostgresSource, SqliteSource, FilesSource, QdrantSource)
CONVERTS: tuple[type[Converts], ...] = (PostgresSource,)


def test_every_engine_has_a_name_of_its_own() -> None:
    assert len({source.kind for source in SOURCES}) == len(SOURCES)
