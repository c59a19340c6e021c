"""A range of a book's log as one Parquet file, which DuckDB, Polars, pandas and Spark read as it is.

The file has all columns of the table `events`, under the same names: texts and amounts as text, times as microseconds in
UTC, the body and the hash as binary. Beside each amount `X` stand `X_decimal`, a `decimal(38,18)`, and `X_rest`, a
`decimal(38,36)` with the digits beyond 18 (see `engine.columns.amounts`); both are null where there is no amount, or where
a sum does not fit. `segment` is the segment's first version, `previous_hash` the hash of the event before: with them a row
is proved by itself, and a segment without its neighbours. Rows are taken as the database's driver gives them. pyarrow is
imported only when a segment is written.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from itertools import accumulate
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import LargeBinary
from sqlalchemy.types import BigInteger, Integer

from engine.columns.amounts import REST_SCALE, SCALE, WIDTH, split_amount
from engine.columns.stores import Store
from ledger.amounts import ZERO, amount_text
from ledger.database.columns import ExactDecimal, UtcTime
from ledger.database.tables import events
from ledger.errors import StorageError, StorageFault, shown
from ledger.integrity.raw_log import COLUMNS, PLACE_OF, RawRow
from ledger.stored import chain_hash

ROWS_IN_GROUP = 100_000
AMOUNTS = tuple(column.name for column in events.columns if isinstance(column.type, ExactDecimal))
_VERSION, _BOOK, _BODY, _HASH = (PLACE_OF[name] for name in ("version", "book", "body", "hash"))


@dataclass(frozen=True)
class SegmentFile:
    """A segment that was written.

    name:                 its file within the store
    first, last:          the versions of its first and last event
    size:                 bytes
    sha256:               of the file
    end_hash:             of the last event
    least_at, greatest_at, recorded_until:  of its events, UTC
    widest:               the greatest |amount| of any column, without its digits beyond 18
    unfit:                how many amounts did not fit into the decimal columns
    """

    name: str
    first: int
    last: int
    size: int
    sha256: bytes
    end_hash: bytes
    least_at: datetime
    greatest_at: datetime
    recorded_until: datetime
    widest: Decimal
    unfit: int


def folder_of(book: str) -> str:
    """The folder of a book's segments, a layout that engines take as a partition: `book=<name, escaped>`."""
    return f"book={quote(book, safe='')}"


def book_of(folder: str) -> str:
    """The book whose folder it is."""
    return unquote(folder.removeprefix("book="))


def segment_name(book: str, first: int, last: int) -> str:
    """The file of a segment within a store."""
    return f"{folder_of(book)}/{first}-{last}.parquet"


def write_segment(
    store: Store,
    book: str,
    rows: Iterable[Sequence[RawRow]],
    *,
    first: int,
    start_hash: bytes,
    rows_in_group: int = ROWS_IN_GROUP,
) -> SegmentFile:
    """Write a range of one book's log, in order from version `first`; at most `rows_in_group` rows are in memory.

    The file appears under its name when it is complete: a run that is killed leaves at most a temporary file, which nothing
    reads. `rows`: batches of rows. `start_hash`: of the event before the first. Raises ValueError for no rows; StorageError
    `event_unreadable` for a gap, a row of another book, a hash that does not follow, and a value of another kind; OSError.
    """
    written = _Columns(book, first, start_hash)
    with store.writing(folder_of(book)) as temporary:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            _write(file, written, rows, rows_in_group)
        with temporary.open("rb") as whole:
            sha256 = hashlib.file_digest(whole, "sha256").digest()
        size = temporary.stat().st_size
        name = segment_name(book, first, written.version)
        store.publish(temporary, name)
    return SegmentFile(
        name, first, written.version, size, sha256, written.hash, *written.times(), written.widest, written.unfit
    )


def _write(file: Any, columns: _Columns, rows: Iterable[Sequence[RawRow]], rows_in_group: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    batches = iter(rows)
    group = list(_up_to(batches, columns, rows_in_group))
    if not group:
        raise ValueError("a segment has at least one event")
    with parquet.ParquetWriter(file, arrow_schema(), compression="zstd") as writer:
        while group:
            table = pa.Table.from_batches(group)
            writer.write_table(table, row_group_size=table.num_rows)
            group = list(_up_to(batches, columns, rows_in_group))


def _up_to(batches: Iterator[Sequence[RawRow]], columns: _Columns, most: int) -> Iterator[Any]:
    """Record batches with together at most about `most` rows."""
    count = 0
    while count < most and (batch := next(batches, None)) is not None:
        if batch:
            count += len(batch)
            yield columns.take(batch)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of the log that stand one after the other. `first`: their first version; `start_hash`: of the event before."""

    first: int
    start_hash: bytes
    rows: Iterable[Sequence[RawRow]]


def difference(store: Store, name: str, book: str, first: int, last: int, stretches: Iterable[Stretch]) -> str | None:
    """Where the file of the versions from `first` to `last` says something else than rows of these; None: nowhere.

    Every value of every column of these rows is compared, and of all others the version. A row group is in memory. Raises
    StorageError as `write_segment`.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with store.files.open_input_file(store.path(name)) as opened, parquet.ParquetFile(opened) as file:
            versions = file.read(columns=["version"]).column(0)
            if not versions.equals(pa.chunked_array([range(first, last + 1)], pa.int64())):
                return _another("version", first, last)
            groups = _Groups(file)
            for stretch in stretches:
                columns = _Columns(book, first, stretch.start_hash, stretch.first)
                for rows in stretch.rows:
                    expected = pa.Table.from_batches([columns.take(rows)])
                    for found, part in groups.beside(expected, columns.version - first - len(rows) + 1):
                        if found.schema.names != part.schema.names:
                            return f"other columns at version {columns.version}"
                        for column in part.schema.names:
                            if not found.column(column).equals(part.column(column)):
                                return _another(column, columns.version - len(rows) + 1, columns.version)
    except (pa.ArrowException, OSError) as error:  # OSError: a page that cannot be decoded
        return f"something that cannot be read: {str(error).partition(chr(10))[0]}"
    return None


def _another(column: str, first: int, last: int) -> str:
    return f"another {column} between version {first} and {last}"


class _Groups:
    """The row groups of a file, one in memory at a time."""

    def __init__(self, file: Any) -> None:
        self._file = file
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        self._ends = list(accumulate(sizes))
        self._number = -1
        self._group: Any = None

    def beside(self, expected: Any, place: int) -> Iterator[tuple[Any, Any]]:
        """The rows of the file from a place on, counted from 0, beside as many expected ones; of each group a part."""
        while expected.num_rows:
            number = bisect_right(self._ends, place)
            if number != self._number:
                self._number, self._group = number, self._file.read_row_group(number)
            found = self._group.slice(place - self._ends[number] + self._group.num_rows, expected.num_rows)
            yield found, expected.slice(0, found.num_rows)
            expected, place = expected.slice(found.num_rows), place + found.num_rows


def arrow_schema() -> Any:
    """The columns of a segment, as a pyarrow schema."""
    import pyarrow as pa

    fields = []
    for column in events.columns:
        match column.type:
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
        if column.name in AMOUNTS:
            fields.append(pa.field(f"{column.name}_decimal", pa.decimal128(WIDTH, SCALE)))
            fields.append(pa.field(f"{column.name}_rest", pa.decimal128(WIDTH, REST_SCALE)))
    fields += [pa.field("segment", pa.int64(), nullable=False), pa.field("previous_hash", pa.binary(), nullable=False)]
    return pa.schema(fields)


class _Columns:
    """Turns rows into record batches, and keeps what the manifest says of them."""

    def __init__(self, book: str, first: int, start_hash: bytes, begins: int | None = None) -> None:
        """`first`: of the segment; `begins`: the first row's version, None for `first`, and `start_hash` the one before."""
        self.version = (first if begins is None else begins) - 1
        self.hash = start_hash
        self.widest = ZERO
        self.unfit = 0
        self._book = book
        self._first = first
        self._schema = arrow_schema()
        self._times: dict[str, tuple[datetime, datetime]] = {}

    def times(self) -> tuple[datetime, datetime, datetime]:
        """The least and the greatest `at`, and the greatest `recorded_at`."""
        return (*self._times["at"], self._times["recorded_at"][1])

    def take(self, rows: Sequence[RawRow]) -> Any:
        """The next rows as a record batch."""
        import pyarrow as pa

        previous = self.hash
        self._follow(rows)
        columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
        arrays: dict[str, Any] = {}
        for name, values in columns.items():
            try:
                self._add(arrays, name, values)
            except (pa.ArrowException, DecimalException, TypeError, ValueError) as error:
                first = columns["version"][0]
                raise _unsound(
                    f"a column {name} from version {first} on does not hold what it should", str(error)
                ) from error
        arrays["segment"] = pa.array([self._first] * len(rows), pa.int64())
        arrays["previous_hash"] = pa.array([previous, *columns["hash"][:-1]], pa.binary())
        return pa.RecordBatch.from_arrays([arrays[name] for name in self._schema.names], schema=self._schema)

    def _follow(self, rows: Sequence[RawRow]) -> None:
        """The rows are the next ones of the chain: a segment of a broken chain would have to be passed over."""
        for row in rows:
            self.version += 1
            if (row[_BOOK], row[_VERSION]) != (self._book, self.version):
                raise _unsound(f"version {self.version} of the book {shown(self._book)} is missing", str(row[_VERSION]))
            if not isinstance(row[_BODY], bytes) or chain_hash(self.hash, row[_BODY]) != row[_HASH]:
                raise _unsound(f"the hash at version {self.version} does not follow from its predecessor's")
            self.hash = row[_HASH]

    def _add(self, arrays: dict[str, Any], name: str, values: Sequence[Any]) -> None:
        import pyarrow as pa
        import pyarrow.compute as compute

        field = self._schema.field(name)
        if name in AMOUNTS:
            self._add_amounts(arrays, name, values)
            return
        if pa.types.is_timestamp(field.type):
            texts = all(isinstance(value, str) for value in values)
            arrays[name] = pa.array(values, pa.string()).cast(field.type) if texts else pa.array(values, field.type)
            if name in ("at", "recorded_at"):
                self._observe_times(name, compute.min_max(arrays[name]))
            return
        arrays[name] = pa.array(values, field.type)

    def _observe_times(self, name: str, bounds: Any) -> None:
        least, greatest = (bounds[end].as_py().astimezone(UTC) for end in ("min", "max"))
        before = self._times.get(name, (least, greatest))
        self._times[name] = min(before[0], least), max(before[1], greatest)

    def _add_amounts(self, arrays: dict[str, Any], name: str, values: Sequence[Any]) -> None:
        import pyarrow as pa
        import pyarrow.compute as compute

        texts = [amount_text(value) if isinstance(value, Decimal) else value for value in values]
        parts = [_NOTHING if text is None else _parts(text) for text in texts]
        arrays[name] = pa.array(texts, pa.string())
        for place, suffix in enumerate(("decimal", "rest")):
            column = f"{name}_{suffix}"
            arrays[column] = pa.array([part and part[place] for part in parts], self._schema.field(column).type)
        self._observe_unfit([text for text, part in zip(texts, parts, strict=True) if part is None])
        bounds = compute.min_max(arrays[f"{name}_decimal"])
        for bound in (bounds["min"].as_py(), bounds["max"].as_py()):
            self.widest = self.widest if bound is None else max(self.widest, bound.copy_abs())

    def _observe_unfit(self, texts: Sequence[str]) -> None:
        self.unfit += len(texts)
        self.widest = max([self.widest, *(Decimal(text).copy_abs() for text in texts)])


_NOTHING = (None, None)


def _parts(text: str) -> tuple[Decimal, Decimal] | None:
    """The two parts of a canonical text; None where it does not fit. Raises for a text that is no amount."""
    if text == "0":  # as half of them
        return ZERO, ZERO
    amount = Decimal(text)
    if text != amount_text(amount):
        raise ValueError(f"not the canonical text of an amount: {text!r}")
    whole, _, decimals = text.partition(".")
    if len(decimals) <= SCALE and len(whole) <= WIDTH - SCALE:  # as nearly always
        return amount, ZERO
    parts = split_amount(amount)
    return None if parts is None else (parts.main, parts.rest)


def _unsound(what: str, actual: str | None = None) -> StorageError:
    return StorageError(
        StorageFault.EVENT_UNREADABLE,
        what,
        actual=actual,
        advice="run `netbasis check`, and restore a backup; nothing of this range was sealed",
    )
