"""A range of a book's log as one Parquet file, which DuckDB, Polars, pandas and Spark read as it is.

The file has all columns of the table `events`, under the same names: texts and amounts as text, times as microseconds in
UTC, the body and the hash as binary. Beside each amount `X` stand `X_decimal`, a `decimal(38,18)`, and `X_rest`, a
`decimal(38,36)` with the digits beyond 18 (see `engine.columns.amounts`); both are null where there is no amount, or where
a sum does not fit. pyarrow is imported only when a segment is written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import LargeBinary
from sqlalchemy.types import BigInteger, Integer

from engine.columns.amounts import REST_SCALE, SCALE, WIDTH, split_amount
from ledger.amounts import amount_text
from ledger.database.columns import ExactDecimal, UtcTime
from ledger.database.tables import events
from ledger.mapper import encode_row
from ledger.stored import StoredEvent

ROWS_IN_GROUP = 100_000
_AMOUNTS = frozenset(column.name for column in events.columns if isinstance(column.type, ExactDecimal))


@dataclass(frozen=True)
class SegmentFile:
    """A segment that was written."""

    path: Path
    first: int  # the version of its first event
    last: int  # the version of its last event
    size: int  # bytes
    sha256: bytes  # of the file


def segment_path(folder: Path, book: str, first: int, last: int) -> Path:
    """Where a segment stands: `book=<name, escaped>/<first>-<last>.parquet`, a layout that engines take as a partition."""
    return folder / f"book={quote(book, safe='')}" / f"{first}-{last}.parquet"


def write_segment(folder: Path, stored: Iterable[StoredEvent], *, rows_in_group: int = ROWS_IN_GROUP) -> SegmentFile:
    """Write a range of one book's log, in order and without a gap; at most `rows_in_group` events are in memory.

    The file appears under its name when it is complete and on the disk: a run that is killed leaves at most a temporary
    file, which nothing reads. Raises ValueError for no events, for a gap and for events of several books; OSError.
    """
    groups = iter(_batches(stored, rows_in_group))
    group = next(groups, None)
    if group is None:
        raise ValueError("a segment has at least one event")
    book, first = group[0].book, group[0].version
    parent = segment_path(folder, book, first, first).parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = parent / f".{first}.{os.getpid()}.tmp"
    try:
        last = _write(temporary, book, first, group, groups)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = _sha256(file)
        path = segment_path(folder, book, first, last)
        size = temporary.stat().st_size
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(parent)
    return SegmentFile(path, first, last, size, sha256)


def _write(
    path: Path, book: str, first: int, group: list[StoredEvent] | None, groups: Iterator[list[StoredEvent]]
) -> int:
    """Write the groups of rows; the last version."""
    import pyarrow.parquet as parquet

    schema = arrow_schema()
    version = first
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group is not None:
            for event in group:
                if (event.book, event.version) != (book, version):
                    raise ValueError(f"expected version {version} of {book!r}, got {event.version} of {event.book!r}")
                version += 1
            writer.write_table(_table(group, schema), row_group_size=len(group))
            group = next(groups, None)
    return version - 1


def arrow_schema() -> Any:
    """The columns of a segment, as a pyarrow schema."""
    import pyarrow as pa

    fields = []
    for column in events.columns:
        match column.type:
            case _ if (
                column.name == "book"
            ):  # the type that Arrow and pandas give to it when they read it from the path
                kind = pa.dictionary(pa.int32(), pa.string())
            case UtcTime():
                kind = pa.timestamp("us", tz="UTC")
            case LargeBinary():
                kind = pa.binary()
            case BigInteger():
                kind = pa.int64()
            case Integer():
                kind = pa.int32()
            case _:
                kind = pa.string()
        fields.append(pa.field(column.name, kind, nullable=column.nullable))
        if column.name in _AMOUNTS:
            fields.append(pa.field(f"{column.name}_decimal", pa.decimal128(WIDTH, SCALE)))
            fields.append(pa.field(f"{column.name}_rest", pa.decimal128(WIDTH, REST_SCALE)))
    return pa.schema(fields)


def _table(group: list[StoredEvent], schema: Any) -> Any:
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for event in group:
        for name, value in encode_row(event).items():
            if name not in _AMOUNTS:
                columns[name].append(value)
                continue
            assert value is None or not isinstance(value, str)
            _add_amount(columns, name, value)
    return pa.table(columns, schema=schema)


def _add_amount(columns: dict[str, list[Any]], name: str, amount: Any) -> None:
    parts = None if amount is None else split_amount(amount)
    columns[name].append(None if amount is None else amount_text(amount))
    columns[f"{name}_decimal"].append(parts and parts.main)
    columns[f"{name}_rest"].append(parts and parts.rest)


def _sha256(file: Any) -> bytes:
    return hashlib.file_digest(file, "sha256").digest()


def _sync_folder(folder: Path) -> None:
    """Make the file's new name durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _batches(stored: Iterable[StoredEvent], size: int) -> Iterator[list[StoredEvent]]:
    remaining = iter(stored)
    while batch := list(islice(remaining, size)):
        yield batch
