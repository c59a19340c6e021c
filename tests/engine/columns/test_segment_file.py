"""A segment holds every column of its events, exactly; a file that is not complete never has a segment's name."""

from __future__ import annotations

import hashlib
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.columns.segment_file import SegmentFile, book_of, folder_of, segment_name, write_segment
from engine.columns.stores import Store, open_store
from ledger.amounts import add, amount_text, total
from ledger.book import GENESIS_HASH
from ledger.errors import StorageError
from ledger.integrity.raw_log import PLACE_OF, RawRow, raw_log
from ledger.mapper import encode_row
from ledger.stored import StoredEvent
from tests.ledger.database.store_support import append_sample
from tests.support import BOOK, event, log_of, open_keeper

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra netbasis[columns] is not installed")

_DUST = "0.000000000000000000123456789012345678"
_WIDE = "99999999999999999999.000000000000000001"
Log = tuple[list[StoredEvent], list[RawRow]]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Every kind of event, an amount with digits beyond 18, and a sum of deltas that is wider than an amount."""
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        keeper.append(BOOK, event("adjustment", asset="XRP", amount=_DUST, reason="dust", key="dust"))
        keeper.append(BOOK, event("baseline", starting_value=_WIDE, reason="reconciliation", key="up"))
        keeper.append(BOOK, event("baseline", starting_value=f"-{_WIDE}", reason="reconciliation", key="down"))
        with keeper.database.reading() as connection:
            rows = [row for batch in raw_log(connection, BOOK) for row in batch]
        return log_of(keeper), rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "segments"))


def write(store: Store, log: Log, first: int, last: int, **more: Any) -> SegmentFile:
    stored, rows = log
    start_hash = stored[first - 2].hash if first > 1 else GENESIS_HASH
    batches = [rows[place : place + 2] for place in range(first - 1, last, 2)]
    batches[-1] = batches[-1][: last - first + 1 - 2 * (len(batches) - 1)]
    return write_segment(store, BOOK, batches, first=first, start_hash=start_hash, **more)


def test_a_segment_has_every_column_of_its_events(store: Store, log: Log) -> None:
    stored = log[0][1:]
    written = write(store, log, 2, stored[-1].version, rows_in_group=4)
    path = Path(store.path(written.name))
    assert (written.size, written.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).digest())
    assert parquet.ParquetFile(path).num_row_groups == -(-len(stored) // 4)
    rows = parquet.ParquetFile(path).read().to_pylist()
    assert [_without_parts(row) for row in rows] == [_as_texts(encode_row(each)) for each in stored]
    assert {row["segment"] for row in rows} == {2}
    assert [row["previous_hash"] for row in rows] == [each.hash for each in log[0][:-1]]
    parts = [(row[f"{name}_decimal"], row[f"{name}_rest"], text) for row in rows for name, text in _amounts(row)]
    assert all(add(main, rest) == Decimal(text) for main, rest, text in parts if main is not None)
    assert any(rest for _, rest, _ in parts)  # digits beyond 18
    too_wide = [text for main, rest, text in parts if main is None and rest is None]
    widest = stored[-1].effects.starting_value_delta
    assert too_wide == [amount_text(widest)]
    assert (written.unfit, written.widest, written.end_hash) == (1, widest.copy_abs(), stored[-1].hash)
    times = [each.at for each in stored]
    assert (written.least_at, written.greatest_at) == (min(times), max(times))
    assert written.recorded_until == stored[-1].recorded_at
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _glob(store: Store) -> str:
    return f"{store.root}/*/*.parquet"


def _by_duckdb(store: Store) -> list[tuple[Any, ...]]:
    duckdb: Any = pytest.importorskip("duckdb", reason="duckdb is not installed")
    query = 'select version, "at", body, asset_delta_decimal, asset_delta_rest from read_parquet(?) order by version'
    with duckdb.connect() as connection:
        return list(connection.execute(query, [_glob(store)]).fetchall())


def _by_arrow(store: Store) -> list[tuple[Any, ...]]:
    dataset: Any = pytest.importorskip("pyarrow.dataset")
    table = dataset.dataset(store.root).to_table().sort_by("version").to_pylist()
    return [_shown(row) for row in table]


def _by_pandas(store: Store) -> list[tuple[Any, ...]]:
    pandas: Any = pytest.importorskip("pandas", reason="pandas is not installed")
    return [
        _shown(row)
        for row in pandas.read_parquet(store.root, partitioning=None).sort_values("version").to_dict("records")
    ]


def _by_polars(store: Store) -> list[tuple[Any, ...]]:
    polars: Any = pytest.importorskip("polars", reason="polars is not installed")
    return [_shown(row) for row in polars.read_parquet(_glob(store)).sort("version").to_dicts()]


def _shown(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("version", "at", "body", "asset_delta_decimal", "asset_delta_rest"))


@pytest.mark.parametrize("read", [_by_duckdb, _by_arrow, _by_pandas, _by_polars])
def test_engines_read_a_folder_of_segments_as_it_is(store: Store, log: Log, read: Any) -> None:
    write(store, log, 1, 4)
    write(store, log, 5, len(log[0]))
    found = read(store)
    assert [(row[0], bytes(row[2])) for row in found] == [(each.version, each.body) for each in log[0]]
    assert [row[1].timestamp() for row in found] == [each.at.timestamp() for each in log[0]]
    parts = [part for row in found for part in row[3:] if isinstance(part, Decimal)]
    assert total(parts) == total(each.effects.own.delta for each in log[0] if each.effects.own)


def _with(row: RawRow, name: str, value: object) -> RawRow:
    place = PLACE_OF[name]
    return (*row[:place], value, *row[place + 1 :])


@pytest.mark.parametrize(
    "broken",
    ["a gap", "another book", "another hash", "another body", "no amount", "1.50", "no time", "a number", "killed"],
)
def test_what_is_not_a_whole_range_leaves_no_file(store: Store, log: Log, broken: str) -> None:
    rows = log[1]

    def killed() -> Iterator[Sequence[RawRow]]:
        yield rows[:3]
        raise KeyboardInterrupt

    changed = {
        "another book": ("book", "other"),
        "another hash": ("hash", bytes(32)),
        "another body": ("body", b"{}"),
        "no amount": ("asset_delta", "eighty-five"),
        "1.50": ("asset_delta", "1.50"),
        "no time": ("at", "yesterday"),
        "a number": ("key", 5),
    }
    given: Any = killed()
    if broken == "a gap":
        given = [rows[:3], rows[4:]]
    elif broken in changed:
        given = [rows[:3], [_with(rows[3], *changed[broken]), *rows[4:]]]
    with pytest.raises((KeyboardInterrupt, StorageError)):
        write_segment(store, BOOK, given, first=1, start_hash=GENESIS_HASH, rows_in_group=2)
    assert [path for path in Path(store.root).rglob("*") if path.is_file()] == []


_KILLED = """
import os, signal, sys
from engine.columns.segment_file import write_segment
from engine.columns.stores import open_store
from ledger.book import GENESIS_HASH
from ledger.database.connections import Database
from ledger.integrity.raw_log import raw_log

def rows():
    with Database.open(sys.argv[1], "read") as database, database.reading() as connection:
        (batch,) = raw_log(connection, "main")
    yield batch[:5]
    os.kill(os.getpid(), signal.SIGKILL)

write_segment(open_store(sys.argv[2]), "main", rows(), first=1, start_hash=GENESIS_HASH, rows_in_group=2)
"""


def test_a_process_that_is_killed_leaves_no_segment(tmp_path: Path, store: Store, log: Log) -> None:
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "ledger.db"), store.root], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(Path(store.root).rglob(".*.tmp"))) == 1
    assert list(Path(store.root).rglob("*.parquet")) == []
    write(store, log, 1, 4)
    assert len(list(Path(store.root).rglob("*.parquet"))) == 1


@pytest.mark.parametrize(("book", "folder"), [("a/b", "book=a%2Fb"), ("..", "book=.."), ("x=y %", "book=x%3Dy%20%25")])
def test_a_book_name_stays_inside_the_folder(book: str, folder: str) -> None:
    assert segment_name(book, 1, 20) == f"{folder}/1-20.parquet"
    assert book_of(folder_of(book)) == book


def _amounts(row: dict[str, Any]) -> list[tuple[str, str]]:
    names = [name.removesuffix("_rest") for name in row if name.endswith("_rest")]
    return [(name, row[name]) for name in names if row[name] is not None]


def _without_parts(row: dict[str, Any]) -> dict[str, Any]:
    beside = ("_decimal", "_rest", "segment", "previous_hash")
    return {name: value for name, value in row.items() if not name.endswith(beside)}


def _as_texts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: amount_text(value) if isinstance(value, Decimal) else value for name, value in row.items()}
