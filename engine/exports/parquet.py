"""`export parquet`: the table of `export csv` as a Parquet file, with times, whole numbers and exact amounts.

No engine has a decimal that holds 20 digits before the point and 36 after it. So an amount `X` stands as text, and beside
it as two decimals whose sum it is: `X_decimal`, a `decimal(38,18)`, and `X_rest`, a `decimal(38,36)` with the digits beyond
18. Both are null where a sum does not fit. Needs pyarrow, the extra `columns`; it is imported when a file is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import IO, Any

from engine.columns.amounts import REST_SCALE, SCALE, WIDTH, split_amount
from engine.exports.tables import AMOUNTS, INTEGERS, LISTS, TIMES
from engine.reports.report import Table
from ledger.amounts import ZERO, amount_text
from ledger.progress import OnProgress

ROWS_IN_GROUP = 20_000


def write_parquet(table: Table, file: IO[bytes], on_progress: OnProgress | None = None) -> None:
    """Write a table of events; at most `ROWS_IN_GROUP` rows are in memory. `on_progress`: called with the rows so far.

    Raises ImportError without pyarrow; OSError; what the table's rows raise.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = pa.schema([field for name in table.columns for field in _fields(name)])
    rows = iter(table.rows)
    done = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROWS_IN_GROUP)):
            columns = dict(zip(table.columns, zip(*group, strict=True), strict=True))
            arrays = [array for name, values in columns.items() for array in _arrays(name, values)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            done += len(group)
            if on_progress is not None:
                on_progress(done)


def _fields(name: str) -> Iterator[Any]:
    """The fields of the file that hold a column."""
    import pyarrow as pa

    if name in TIMES:
        yield pa.field(name, pa.timestamp("us", tz="UTC"))
    elif name in INTEGERS:
        yield pa.field(name, pa.int64())
    elif name in LISTS:
        yield pa.field(name, pa.list_(pa.string()))
    else:
        yield pa.field(name, pa.string())
    if name in AMOUNTS:
        yield pa.field(f"{name}_decimal", pa.decimal128(WIDTH, SCALE))
        yield pa.field(f"{name}_rest", pa.decimal128(WIDTH, REST_SCALE))


def _arrays(name: str, values: Sequence[Any]) -> Iterator[Any]:
    """The values of a column, in the form of its fields."""
    import pyarrow as pa

    first, *parts = _fields(name)
    if name not in AMOUNTS:
        yield pa.array(values, first.type)
        return
    yield pa.array([None if value is None else amount_text(value) for value in values], first.type)
    split = [_split(value) for value in values]
    for place, field in enumerate(parts):
        yield pa.array([part[place] for part in split], field.type)


def _split(amount: Decimal | None) -> tuple[Decimal, Decimal] | tuple[None, None]:
    if amount is not None and not amount:  # as most of them
        return ZERO, ZERO
    parts = None if amount is None else split_amount(amount)
    return (None, None) if parts is None else parts
