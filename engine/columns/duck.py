"""DuckDB over segments: statements of the program run on Parquet files, with a bound on memory and every core.

A file is read only after its hash was compared with the manifest's (`engine.columns.believed`). Nothing is cached, and
nothing is written but what DuckDB puts aside into a temporary folder when its memory is full.
"""

from __future__ import annotations

import os
import tempfile
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Select

from engine.columns.dialects import text_for
from engine.columns.stores import Store, extra_missing
from ledger.database.log_columns import RUN_COLUMNS, Run

MEMORY = "512MB"
# All that DuckDB says of an exception that a signal's handler has raised during a statement.
_INTERRUPTED = "Query interrupted"


class EngineFailed(ArithmeticError):
    """The engine could not answer exactly: a sum that leaves its width, a file that it cannot read. Rows can."""


class Duck:
    """A DuckDB in memory whose table `log` is a set of segments."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def use(self, store: Store, names: Sequence[str]) -> None:
        """Let `log` be these files of a store. Raises EngineFailed."""
        with _failing():
            if store.is_local:
                files = ", ".join(_quoted(store.path(name)) for name in names)
                source = f"read_parquet([{files}], hive_partitioning=false)"
            else:
                from pyarrow import dataset

                paths = [store.path(name) for name in names]
                files_of_store = dataset.dataset(paths, format="parquet", filesystem=store.files)
                self._connection.register("files_of_store", files_of_store)
                source = "files_of_store"
            self._connection.execute(f"CREATE OR REPLACE TEMP VIEW log AS SELECT * FROM {source}")  # noqa: S608

    def let_runs(self, runs: Sequence[Run]) -> None:
        """Let the table `runs` be these; see `ledger.database.log_columns.in_runs`."""
        with _failing():
            kinds = ", ".join(f"{name} {'VARCHAR' if name == 'book' else 'BIGINT'}" for name in RUN_COLUMNS)
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE runs ({kinds})")
            self._connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", [astuple(run) for run in runs])

    def rows(self, query: Select[Any] | str) -> list[Any]:
        """A statement's rows, whose values are known by the names of their columns. Raises EngineFailed.

        `query`: a text is one of `text_for`, made once for many segments.
        """
        with _failing():
            cursor = self._connection.execute(query if isinstance(query, str) else text_for("duckdb", query))
            row = namedtuple("row", [column[0] for column in cursor.description])  # type: ignore[misc]
            return [row(*values) for values in cursor.fetchall()]


def require_extra() -> None:
    """Raises StorageError `extra_missing` unless all that reads segments is installed; imports none of it."""
    if any(find_spec(name) is None for name in ("duckdb", "pyarrow", "sqlglot")):
        raise extra_missing("segments")


@contextmanager
def duckdb_session(memory: str = MEMORY) -> Iterator[Duck]:
    """A DuckDB for one piece of work. `memory`: what it may use. Raises StorageError `extra_missing`."""
    try:
        import duckdb
    except ImportError as error:
        raise extra_missing("segments") from error
    with tempfile.TemporaryDirectory(prefix="netbasis-duckdb-") as aside, duckdb.connect() as connection:
        settings = {
            "TimeZone": "UTC",
            "memory_limit": memory,
            "temp_directory": aside,
            "threads": str(os.cpu_count() or 1),
            "autoinstall_known_extensions": "false",
        }
        for name, value in settings.items():
            connection.execute(f"SET {name} = {_quoted(value)}")
        yield Duck(connection)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _failing() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise EngineFailed(str(error)) from error
    except RuntimeError as error:
        if str(error) != _INTERRUPTED:
            raise
        raise KeyboardInterrupt from error
