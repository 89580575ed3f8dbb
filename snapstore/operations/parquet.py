"""Rows as Parquet: the one place that knows the library.

    with Arrow(folder) as writer, writer.table("public.memories", "memories", forms) as rows: ...
    for rows in rows_in_parquet(path, forms, 2048): ...

Columns have Parquet's own types as far as it has them; the others are text as in a CSV. What a column of such a type
cannot hold (NaN with its bits, say) stands in the column `$exact`, as JSON by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from snapstore.errors import Corrupt
from snapstore.operations.formats import AGAIN, Files, Rows, from_text, to_text
from snapstore.plainjson import dump, load
from snapstore.sources.plain import Form

__all__ = ["EXACT", "Arrow", "rows_in_parquet"]

EXACT = "$exact"


class Arrow(Files):
    """Parquet with the types of the columns as far as it has them; the others are text as in a CSV.

    A value that its column's type cannot hold is NULL there, and stands in the column `$exact`, as JSON by name.
    """

    ending = "parquet"

    @contextmanager
    def table(self, label: str, part: str, forms: Sequence[Form]) -> Iterator[Rows]:
        """As `Writer.table`."""
        name = self._name(label, part)
        kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
        types = [pa.list_(pa.float32()) if one.is_list else kinds.get(one.scalar, pa.string()) for one in forms]
        exact = EXACT
        while any(one.name == exact for one in forms):
            exact += "$"
        schema = pa.schema([(one.name, kind) for one, kind in zip(forms, types, strict=True)] + [(exact, pa.string())])
        with pq.ParquetWriter(self._folder / name, schema, compression="zstd") as writer:
            yield _ArrowRows(writer, schema, name, forms)


class _ArrowRows:
    def __init__(self, writer: Any, schema: Any, file: str, forms: Sequence[Form]) -> None:
        self._writer = writer
        self._schema = schema
        self.file = file
        self._forms = forms

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        exact: list[dict[str, Any]] = [{} for _ in range(count)]
        shown: list[list[Any]] = []
        for form, values in zip(self._forms, columns, strict=True):
            held: list[Any] = []
            for at, value in enumerate(values):
                is_native = form.is_list or form.scalar
                if is_native and isinstance(value, dict):
                    exact[at][form.name] = value
                    held.append(None)
                elif not form.scalar and not form.is_list and value is not None:
                    held.append(to_text(form, value))
                else:
                    held.append(value)
            shown.append(held)
        told = [dump(one).decode() if one else None for one in exact]
        arrays = [pa.array(held, kind) for held, kind in zip([*shown, told], self._schema.types, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=self._schema))


def rows_in_parquet(path: Path, forms: Sequence[Form], count: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a file, `count` at a time. Raises `Corrupt` naming it."""
    texts = [one for one in forms if not one.scalar and not one.is_list]
    try:
        with pq.ParquetFile(path) as file:
            name = file.schema_arrow.names[-1]
            for batch in file.iter_batches(count):
                rows = batch.to_pylist()
                for row in rows:
                    for one in texts:
                        if row.get(one.name) is not None:
                            row[one.name] = from_text(one, row[one.name])
                    exact = row.pop(name, None)
                    if exact is not None:
                        row.update(load(exact))
                yield rows
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise Corrupt(f"{path} cannot be read as Parquet: {error}", hint=AGAIN) from error
