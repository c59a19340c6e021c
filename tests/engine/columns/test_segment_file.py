"""A segment holds every column of its events, exactly; a file that is not complete never has a segment's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.columns.segment_file import segment_path, write_segment
from ledger.amounts import add, amount_text, total
from ledger.mapper import encode_row
from ledger.stored import StoredEvent
from tests.ledger.database.store_support import append_sample
from tests.support import BOOK, event, log_of, open_keeper

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra netbasis[columns] is not installed")

_DUST = "0.000000000000000000123456789012345678"
_WIDE = "99999999999999999999.000000000000000001"


@pytest.fixture
def log(tmp_path: Path) -> list[StoredEvent]:
    """Every kind of event, an amount with digits beyond 18, and a sum of deltas that is wider than an amount."""
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        keeper.append(BOOK, event("adjustment", asset="XRP", amount=_DUST, reason="dust", key="dust"))
        keeper.append(BOOK, event("baseline", starting_value=_WIDE, reason="reconciliation", key="up"))
        keeper.append(BOOK, event("baseline", starting_value=f"-{_WIDE}", reason="reconciliation", key="down"))
        return log_of(keeper)


def test_a_segment_has_every_column_of_its_events(tmp_path: Path, log: list[StoredEvent]) -> None:
    written = write_segment(tmp_path / "segments", log[1:], rows_in_group=5)
    assert written.path == segment_path(tmp_path / "segments", BOOK, 2, log[-1].version)
    assert (written.size, written.sha256) == (
        written.path.stat().st_size,
        hashlib.sha256(written.path.read_bytes()).digest(),
    )
    assert parquet.ParquetFile(written.path).num_row_groups == -(-len(log[1:]) // 5)
    rows = parquet.ParquetFile(written.path).read().to_pylist()
    assert [_without_parts(row) for row in rows] == [_as_texts(encode_row(stored)) for stored in log[1:]]
    parts = [(row[f"{name}_decimal"], row[f"{name}_rest"], text) for row in rows for name, text in _amounts(row)]
    assert all(add(main, rest) == Decimal(text) for main, rest, text in parts if main is not None)
    assert any(rest for _, rest, _ in parts)  # digits beyond 18
    too_wide = [text for main, rest, text in parts if main is None and rest is None]
    assert too_wide == [amount_text(log[-1].effects.starting_value_delta)]


def test_duckdb_reads_a_folder_of_segments_as_it_is(tmp_path: Path, log: list[StoredEvent]) -> None:
    duckdb: Any = pytest.importorskip("duckdb", reason="duckdb is not installed")
    for part in (log[:4], log[4:]):
        write_segment(tmp_path / "segments", part)
    with duckdb.connect() as connection:
        found = connection.execute(
            'select book, version, "at", body, asset_delta, sum(asset_delta_decimal) over (), sum(asset_delta_rest) over () '
            "from read_parquet(?) order by version",
            [str(tmp_path / "segments" / "*" / "*.parquet")],
        ).fetchall()
    deltas = [stored.effects.own.delta for stored in log if stored.effects.own]
    assert [row[:2] for row in found] == [(BOOK, stored.version) for stored in log]
    assert [row[3] for row in found] == [stored.body for stored in log]
    assert add(*found[0][5:]) == total(deltas)


def test_arrow_reads_a_folder_of_segments_as_it_is(tmp_path: Path, log: list[StoredEvent]) -> None:
    for part in (log[:4], log[4:]):
        write_segment(tmp_path / "segments", part)
    rows = parquet.read_table(tmp_path / "segments").sort_by("version").to_pylist()
    assert [(row["book"], row["hash"]) for row in rows] == [(BOOK, stored.hash) for stored in log]


@pytest.mark.parametrize("broken", ["a gap", "another book", "nothing", "killed"])
def test_what_is_not_a_whole_range_leaves_no_file(tmp_path: Path, log: list[StoredEvent], broken: str) -> None:
    def killed() -> Iterator[StoredEvent]:
        yield from log[:3]
        raise KeyboardInterrupt

    given: dict[str, Any] = {
        "a gap": [*log[:3], *log[4:]],
        "another book": [log[0], replace(log[1], book="other")],
        "nothing": [],
        "killed": killed(),
    }
    with pytest.raises((KeyboardInterrupt, ValueError)):
        write_segment(tmp_path / "segments", given[broken], rows_in_group=2)
    assert [path for path in (tmp_path / "segments").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("book", "folder"), [("a/b", "book=a%2Fb"), ("..", "book=.."), ("x=y %", "book=x%3Dy%20%25")])
def test_a_book_name_stays_inside_the_folder(book: str, folder: str) -> None:
    assert segment_path(Path("s"), book, 1, 20) == Path("s") / folder / "1-20.parquet"


def _amounts(row: dict[str, Any]) -> list[tuple[str, str]]:
    names = [name.removesuffix("_rest") for name in row if name.endswith("_rest")]
    return [(name, row[name]) for name in names if row[name] is not None]


def _without_parts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith(("_decimal", "_rest"))}


def _as_texts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: amount_text(value) if isinstance(value, Decimal) else value for name, value in row.items()}
