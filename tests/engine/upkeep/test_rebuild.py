"""A rebuild tells what differs, makes every projection what the log adds up to, and the dry run only tells."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import RebuildReport, rebuild
from ledger.errors import Refused, StorageError
from ledger.events import Opened
from ledger.integrity.raw_rows import any_text
from projections import tables as projection_tables
from projections.rows import Difference
from tests.ledger.database.store_support import (
    SAMPLE_VERSIONS,
    append_sample,
    column_of,
    content_seen,
    fill,
    fingerprints,
    sample_file,
    tamper,
    tampering,
)
from tests.support import BOOK, TickingClock, ledger_file, open_keeper

TABLES = {table.name: table for table in projection_tables.TABLES}
FIGURES = {
    table.name: [column.name for column in table.columns if not column.primary_key]
    for table in projection_tables.TABLES
}
KEYS = {
    table.name: column.name
    for table in projection_tables.TABLES
    for column in table.columns
    if column.primary_key and column.name != "book"
}
# One figure of each table at a time: no table looks at another, so each must be told by itself.
TOGETHER = [
    [(table, figures[number]) for table, figures in FIGURES.items() if number < len(figures)]
    for number in range(max(map(len, FIGURES.values())))
]


def rebuilt(path: Path, *, dry_run: bool = False) -> RebuildReport:
    with Bookkeeper.open(str(path), "read" if dry_run else "write") as keeper:
        return rebuild(keeper.database, BOOK, dry_run=dry_run)


def all_rows(path: Path) -> dict[str, list[str]]:
    """All but the count of rebuilds, which a rebuild raises."""
    with Bookkeeper.open(str(path), "read") as keeper:
        return rows_in(keeper)


def rows_in(keeper: Bookkeeper) -> dict[str, list[str]]:
    with keeper.database.reading() as connection, any_text(connection):
        tables = content_seen(connection)
    del tables["projection_rebuilds"]
    return tables


@cache
def sound_rows() -> dict[str, list[str]]:
    """Those of the sample, which is the same in every test."""
    with tempfile.TemporaryDirectory() as folder:
        return all_rows(sample_file(Path(folder)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The sample, in a file of the test's own."""
    return sample_file(tmp_path)


@pytest.fixture
def desk(path: Path) -> Iterator[Bookkeeper]:
    """A bookkeeper of that file. What was damaged and repaired is the sample again, and may be damaged anew."""
    with Bookkeeper.open(str(path)) as keeper:
        yield keeper
        assert rebuild(keeper.database, BOOK).changes == []
        assert check(keeper.database, BOOK).findings == []


def require_repaired(desk: Bookkeeper) -> list[Difference]:
    """Check and dry run tell and change nothing; the rebuild tells the same and makes every row what it was."""
    ledger, damaged = desk.database, rows_in(desk)
    assert damaged != sound_rows()
    found = [finding.invariant for finding in check(ledger, BOOK).findings]
    told = rebuild(ledger, BOOK, dry_run=True).changes
    assert found == ["projections_match"] * len(told) != []
    assert rows_in(desk) == damaged
    assert rebuild(ledger, BOOK).changes == told
    assert rows_in(desk) == sound_rows()
    return told


def test_a_sound_ledger_is_rebuilt_to_the_same(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    before = fingerprints(tmp_path)
    done = rebuilt(path)
    assert (done.changes, done.events, done.head.version, done.book.name) == (
        [],
        SAMPLE_VERSIONS,
        SAMPLE_VERSIONS,
        BOOK,
    )
    assert done.seconds >= 0
    assert fingerprints(tmp_path) == before


def test_every_projection_table_has_rows_to_be_damaged(tmp_path: Path) -> None:
    """Else the tests below would test less than they say."""
    rows = all_rows(sample_file(tmp_path))
    assert set(TABLES) <= set(rows)
    assert all(rows[name] for name in TABLES)


def _another(right: object, column: str) -> object:
    return {int: 77, str: "9026-01-01T00:00:00.000000Z" if column == "at" else "777.5"}.get(type(right), 78)


@pytest.mark.parametrize("damage", ["another", "garbage", "not UTF-8"])
def test_damaged_figures_are_told_and_repaired(desk: Bookkeeper, path: Path, damage: str) -> None:
    """One garbage in each column, another one in the next."""
    garbage = cycle(("garbage", b"\xff\x00", "1e9999"))
    for figures in TOGETHER:
        with tampering(path) as intruder:
            for table, column in figures:
                another = _another(column_of(path, table, column), column)
                wrong = {"another": another, "garbage": next(garbage), "not UTF-8": b"\xffA"}[damage]
                value = "CAST(? AS TEXT)" if damage == "not UTF-8" else "?"
                intruder.execute(f'UPDATE {table} SET "{column}" = {value}', (wrong,))
        told = require_repaired(desk)
        assert {(change.projection, change.key.split(".")[-1]) for change in told} == set(figures)


@pytest.mark.parametrize("garbage", ["other", b"\xff\x00"])
def test_rows_under_other_keys_are_told_and_repaired(desk: Bookkeeper, path: Path, garbage: object) -> None:
    """Each is two changes: the row that is not there, and the one that should not be."""
    with tampering(path) as intruder:
        for table, column in KEYS.items():
            first = column_of(path, table, column)
            intruder.execute(f'UPDATE {table} SET "{column}" = ? WHERE "{column}" = ?', (garbage, first))
    told = require_repaired(desk)
    assert {change.projection for change in told if change.stored is None} == set(KEYS)
    assert {change.projection for change in told if change.rebuilt is None} == set(KEYS)


def test_removed_rows_are_told_and_repaired(desk: Bookkeeper, path: Path) -> None:
    """Those of one table and another, of the others, of all."""
    for removed in (list(TABLES)[::2], list(TABLES)[1::2], list(TABLES)):
        with tampering(path) as intruder:
            for table in removed:
                intruder.execute(f"DELETE FROM {table}")
        told = require_repaired(desk)
        assert {(change.projection, change.stored) for change in told} == {(table, None) for table in removed}


def test_added_rows_are_told_and_repaired(desk: Bookkeeper, path: Path) -> None:
    with tampering(path) as intruder:
        for table, column in KEYS.items():
            others = ", ".join(f'"{other.name}"' for other in TABLES[table].columns if other.name != column)
            statement = f"INSERT INTO {table} (\"{column}\", {others}) SELECT 'added', {others} FROM {table} LIMIT 1"
            intruder.execute(statement)
    told = require_repaired(desk)
    assert {change.projection for change in told} == set(KEYS)
    assert all(change.key.startswith("added.") and change.rebuilt is None for change in told)


def test_a_change_names_projection_key_and_both_figures(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    tamper(path, "UPDATE inventory SET capital = '12.5' WHERE asset = 'XRP'")
    assert rebuilt(path, dry_run=True).changes == [
        Difference("inventory", "XRP.capital", Decimal("12.5"), Decimal("40.27"))
    ]
    tamper(path, "UPDATE basis SET initial_basis_version = NULL")
    assert rebuilt(path).changes[-1] == Difference("basis", "initial_basis_version", None, 7)


def test_an_equal_figure_in_other_digits_is_put_right(tmp_path: Path) -> None:
    """Texts of equal amounts are equal, or `=` in a query would miss one."""
    path = sample_file(tmp_path)
    tamper(path, "UPDATE inventory SET capital = '40.2700' WHERE asset = 'XRP'")
    assert rebuilt(path).changes == [Difference("inventory", "XRP.capital", "40.2700", Decimal("40.27"))]
    assert rebuilt(path).changes == []


def test_other_books_are_left_alone(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        keeper.open_book("other", Opened(mode="paper"))
        append_sample(keeper, "other")
    path = tmp_path / "ledger.db"
    tamper(path, "UPDATE inventory SET fills = '1'")
    rebuilt(path)
    with Bookkeeper.open(str(path), "read") as keeper:
        assert check(keeper.database, BOOK).ok
        assert not check(keeper.database, "other").ok


def test_a_rebuild_that_fails_leaves_the_projections_as_they_were(tmp_path: Path) -> None:
    """The swap is one transaction: here the database refuses its last row."""
    path = sample_file(tmp_path)
    tamper(path, "UPDATE inventory SET fills = '1'")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON projection_heads BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    before = all_rows(path)
    with pytest.raises(StorageError):
        rebuilt(path)
    assert all_rows(path) == before


def test_a_book_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = ledger_file(tmp_path)
    for dry_run in (True, False):
        with pytest.raises(Refused, match="book_unknown"):
            rebuilt(path, dry_run=dry_run)


def test_progress_is_told_as_the_log_is_folded(tmp_path: Path) -> None:
    reached: list[int] = []
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(BOOK, (fill(f"f:{number}") for number in range(2500)))
        assert rebuild(keeper.database, BOOK, on_progress=reached.append).events == 2501
    assert reached == [1000, 2000]


def test_what_is_appended_after_a_rebuild_is_added_to_it(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    tamper(path, "UPDATE inventory SET fills = '1'")
    with Bookkeeper.open(str(path), clock=TickingClock()) as keeper:
        rebuild(keeper.database, BOOK)
        keeper.append(BOOK, fill("f:9"))
        assert rebuild(keeper.database, BOOK, dry_run=True).changes == []
