"""The architecture, held: who may import whom, which library lives where, and what a module may not do.

The maps below are the rule. A new module or library that is not in them fails here, by name: put it where it belongs,
with a reason.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent

# Lower numbers know nothing of higher ones, and packages of one number nothing of each other.
LAYERS = {
    "snapstore.errors": 0,
    "snapstore.ahead": 1,
    "snapstore.digest": 1,
    "snapstore.extras": 1,
    "snapstore.filesystem": 2,
    "snapstore.plainjson": 1,
    "snapstore.packed": 1,
    "snapstore.seal": 2,
    "snapstore.encryption": 3,
    "snapstore.rows": 2,
    "snapstore.ragged": 1,
    "snapstore.tagged": 3,
    "snapstore.valuekeys": 4,
    "snapstore.keys": 5,
    "snapstore.multiset": 4,
    "snapstore.backends": 6,
    "snapstore.tree": 6,
    "snapstore.blobs": 7,
    "snapstore.sources": 7,
    "snapstore.repository": 8,
    "snapstore.operations": 9,
    "snapstore.asked": 10,
    "snapstore.methods": 11,
    "snapstore.api": 12,
    "snapstore": 13,
    "snap_cli": 14,
}

_OF_ROWS = {f"snapstore.{name}" for name in ("rows", "ragged", "tagged", "valuekeys", "keys", "multiset")}

# Downwards, and still not allowed: what a layer must not know to stay what it is.
STRANGERS = {
    # bytes under names
    "snapstore.backends": _OF_ROWS,
    # bytes by digest
    "snapstore.blobs": _OF_ROWS | {"snapstore.tree"},
    "snapstore.sources": {"snapstore.tree", "snapstore.backends"},  # live systems, wherever their rows go
}

# A library's homes, or "*". What is not here is not imported.
LIBRARIES = {
    "numpy": {"*"},
    # digest names blobs; the tree hashes with a key; blobs and backends hash what they never hold in one piece.
    "blake3": {
        "snapstore.digest",
        "snapstore.encryption",
        "snapstore.tree",
        "snapstore.blobs",
        "snapstore.backends",
    },
    "cryptography": {"snapstore.encryption"},
    "orjson": {"snapstore.plainjson"},
    "pyarrow": {"snapstore.operations.parquet"},
    "obstore": {"snapstore.backends.cloud"},
    "zstandard": {"snapstore.blobs", "snapstore.repository"},
    # read in one place; written where config, keys and tombstones are.
    "msgpack": {"snapstore.packed", "snapstore.repository"},
    # the server's source; and the command line where it makes a server of its own.
    "psycopg": {"snapstore.sources.postgres", "snap_cli.embedded", "snap_cli.demo"},
    "apsw": {"snapstore.sources.sqlite"},
    "qdrant_client": {"snapstore.sources.qdrant"},
    "grpc": {"snapstore.sources.qdrant.connection"},  # whose errors the client lets through
    "pathspec": {"snapstore.sources.files.choosing"},
    "click": {"snap_cli"},
    "rich": {"snap_cli"},
    "matplotlib": {"snap_cli.growth"},
}

# Those that come with an extra; the others come with snapstore.
EXTRAS = {
    "apsw": "sqlite",
    "pathspec": "files",
    "cryptography": "encryption",
    "matplotlib": "plot",
    "obstore": "cloud",
    "orjson": "export",
    "pyarrow": "parquet",
    "qdrant_client": "qdrant",
    "grpc": "qdrant",
}

# (module, what it imports inside a function): why it is not at the top.
LATE_IMPORTS: dict[tuple[str, str], str] = {
    ("snapstore.sources.opening", "snapstore.sources.sqlite.source"): "its library is an extra",
    ("snapstore.sources.opening", "snapstore.sources.qdrant.source"): "its library is an extra",
    ("snapstore.sources.opening", "snapstore.sources.files.source"): "its library is an extra",
    ("snapstore.sources.files.reading", "snapstore.sources.sqlite.whole"): "its library is an extra of another source",
    ("snapstore.sources.files.placing", "snapstore.sources.sqlite.whole"): "as in reading",
    ("snap_cli.export", "snapstore.operations.export"): "its library is an extra",
    ("snap_cli.export", "snapstore.operations.formats"): "its library is an extra",
    ("snapstore.api", "snapstore.operations.export"): "its library is an extra",
    ("snapstore.api", "snapstore.operations.formats"): "its library is an extra",
    ("snapstore.methods.moving", "snapstore.operations.importing"): "its library is an extra",
    ("snap_cli.import_", "snapstore.operations.importing"): "its library is an extra",
    ("snapstore.operations.export", "snapstore.operations.parquet"): "its library is an extra",
    ("snapstore.operations.rowfiles", "snapstore.operations.parquet"): "its library is an extra",
    (
        "snapstore.sources.opening",
        "snapstore.sources.postgres.source",
    ): "comparing two snapshots needs no driver (50 ms)",
    ("snap_cli.progress", "rich.console"): "nobody watches a program that another one runs (20 ms)",
    ("snap_cli.progress", "rich.progress"): "as rich.console",
    ("snapstore.repository.keyring", "snapstore.encryption"): "it needs the extra `encryption`, and 30 ms to load",
    ("snap_cli.stats", "snap_cli.growth"): "it needs the extra `plot`",
    ("snap_cli.announcing", "snap_cli.notices"): "few are told by HTTP, whose client takes 40 ms to load",
    ("snapstore.backends.places", "snapstore.backends.cloud"): "it needs the extra `cloud`",
}

# Only the command line talks to the terminal and reads the environment.
FORBIDDEN = {
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.getenvb",
    "sys.stdin",
    "sys.stdout",
    "sys.stderr",
    "sys.argv",
}

LONGEST_MODULE_LINES = 400
MEANINGLESS_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


@dataclass(frozen=True)
class Module:
    """One source file, read when it is asked for: every process of a test run has the list, and few run these tests."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))


def read_modules() -> dict[str, Module]:
    modules = {}
    for root, package in ((HERE, "snapstore"), (HERE / "cli", "snap_cli")):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = Module(name, path)
    return modules


MODULES = read_modules()
LIBRARY_MODULES = [name for name in MODULES if name.split(".")[0] == "snapstore"]


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def home(name: str, places: dict[str, int]) -> str:
    """The longest of these packages that holds the module."""
    found = [place for place in places if is_in(name, place)]
    return max(found, key=len)


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """What a module imports, and where: `from a import b` is `a.b` if that is a module, else `a`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES else node.module), node.lineno


def own_imports(module: Module) -> Iterator[tuple[str, int]]:
    return ((name, line) for name, line in imports(module) if name.split(".")[0] in ("snapstore", "snap_cli"))


def each(names: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """One test that asks the same of each of these: thousands of tests would cost more than what they ask."""

    def wrap(test: Callable[[str], None]) -> Callable[[], None]:
        def whole() -> None:
            for name in names:
                test(name)

        return whole

    return wrap


def test_every_module_has_a_layer() -> None:
    top = {".".join(name.split(".")[:2]) for name in LIBRARY_MODULES}
    assert top <= LAYERS.keys(), f"not in LAYERS: {sorted(top - LAYERS.keys())}"


@each(MODULES)
def test_imports_go_down(name: str) -> None:
    mine = home(name, LAYERS)
    for imported, line in own_imports(MODULES[name]):
        theirs = home(imported, LAYERS)
        where = f"{MODULES[name].path}:{line}: {mine} imports {theirs}"
        assert mine == theirs or LAYERS[theirs] < LAYERS[mine], f"{where}, which is not below it"
        assert theirs not in STRANGERS.get(mine, set()), f"{where}, which it must not know"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: {imported for imported, _ in own_imports(module)} for name, module in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


@each(MODULES)
def test_imported_modules_exist(name: str) -> None:
    for imported, line in own_imports(MODULES[name]):
        assert imported in MODULES, f"{MODULES[name].path}:{line}: there is no {imported}"


@each(MODULES)
def test_a_library_is_imported_only_at_home(name: str) -> None:
    for imported, line in imports(MODULES[name]):
        library = imported.split(".")[0]
        if library in sys.stdlib_module_names or library in ("snapstore", "snap_cli"):
            continue
        where = f"{MODULES[name].path}:{line}: {library}"
        assert library in LIBRARIES, f"{where} is not in LIBRARIES"
        homes = LIBRARIES[library]
        assert "*" in homes or any(is_in(name, place) for place in homes), f"{where} lives in {sorted(homes)}"


def test_every_library_is_a_dependency_and_every_dependency_is_used() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", one).group() for one in project["dependencies"]}  # type: ignore[union-attr]  # a name
    assert declared == set(LIBRARIES) - EXTRAS.keys()
    for library, extra in EXTRAS.items():
        assert any(one.startswith(library.replace("_", "-")) for one in project["optional-dependencies"][extra])


@each(MODULES)
def test_imports_stand_at_the_top(name: str) -> None:
    for outer in ast.walk(MODULES[name].tree):
        if not isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for node in ast.walk(outer):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                for imported in names:
                    where = f"{MODULES[name].path}:{node.lineno}: {imported} is imported inside {outer.name}"
                    assert (name, imported) in LATE_IMPORTS, where


def test_the_list_of_late_imports_is_not_stale() -> None:
    for (name, imported), reason in LATE_IMPORTS.items():
        assert reason
        assert any(found == imported for found, _ in imports(MODULES[name])), f"{name} no longer imports {imported}"


@each(LIBRARY_MODULES)
def test_the_library_neither_prints_nor_reads_the_environment(name: str) -> None:
    for node in ast.walk(MODULES[name].tree):
        where = f"{MODULES[name].path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Name):
            assert node.id not in ("print", "input"), f"{where}: {node.id} belongs to the command line"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            dotted = f"{node.value.id}.{node.attr}"
            assert dotted not in FORBIDDEN, f"{where}: {dotted} belongs to the command line"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                assert dotted not in FORBIDDEN, f"{where}: {dotted} belongs to the command line"


@each(MODULES)
def test_a_module_is_one_idea(name: str) -> None:
    module = MODULES[name]
    lines = module.text.count("\n")
    assert lines <= LONGEST_MODULE_LINES, f"{module.path} has {lines} lines: split it by idea"
    assert name.rsplit(".", maxsplit=1)[-1] not in MEANINGLESS_NAMES, f"{module.path}: name it for what it holds"


@each(MODULES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    module = MODULES[name]
    assert not module.tree.body or ast.get_docstring(module.tree), f"{module.path} has no docstring"
