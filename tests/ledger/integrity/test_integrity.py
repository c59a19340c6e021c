"""Proving a log: what the prover gives row by row, and the checks of file, triggers and books beside it."""

from __future__ import annotations

import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.bookkeeper import Bookkeeper
from ledger import store
from ledger.book import GENESIS_HASH
from ledger.errors import Refused, StorageError
from ledger.integrity.file_damage import damaged_indexes, require_sound_file
from ledger.integrity.prover import ProvedRow, Prover, check_orphans
from ledger.integrity.raw_rows import any_text
from tests.ledger.database.store_support import SAMPLE_VERSIONS, fill, sample_file, tamper
from tests.support import BOOK, event, ledger_file, log_of, open_keeper


def proofs_of(ledger: Path, book: str = BOOK) -> list[ProvedRow]:
    with Bookkeeper.open(str(ledger), "read") as keeper, keeper.database.reading() as connection:
        return list(Prover(connection, book).run())


def test_a_sound_log_is_proved_event_by_event_and_is_what_is_stored(tmp_path: Path) -> None:
    ledger = sample_file(tmp_path)
    *rows, last = proofs_of(ledger)
    with Bookkeeper.open(str(ledger), "read") as keeper:
        assert [proved.stored for proved in rows] == log_of(keeper)
    assert [proved.event for proved in rows] == [proved.stored.event for proved in rows if proved.stored]
    assert (last.version, last.stored, last.event, last.findings) == (SAMPLE_VERSIONS, None, None, ())


def test_the_prover_knows_the_terms_and_the_head_of_what_it_proved(tmp_path: Path) -> None:
    with Bookkeeper.open(str(sample_file(tmp_path)), "read") as keeper:
        view = keeper.view(BOOK)
        with keeper.database.reading() as connection:
            prover = Prover(connection, BOOK)
            assert (prover.head.version, prover.head.hash) == (0, GENESIS_HASH)
            assert len(list(prover.run())) == SAMPLE_VERSIONS + 1
            assert (prover.book, prover.head) == (view.book, view.head)


def test_the_terms_are_those_of_the_first_event_whatever_the_books_row_says(tmp_path: Path) -> None:
    ledger = sample_file(tmp_path)
    tamper(ledger, "UPDATE books SET numeraire = 'XRP', base_asset = 'RLUSD'")
    *rows, last = proofs_of(ledger)
    assert [proved.findings for proved in rows] == [()] * SAMPLE_VERSIONS
    assert [(finding.version, finding.expected, finding.actual) for finding in last.findings] == [
        (1, "RLUSD", "XRP"),
        (1, "XRP", "RLUSD"),
    ]


def test_bytes_that_are_not_what_was_hashed_give_way_to_the_columns(tmp_path: Path) -> None:
    """So that what rests on the event stays right: here the balance, and the reversal of version 5."""
    ledger = sample_file(tmp_path)
    tamper(
        ledger,
        'UPDATE events SET body = replace(body, \'"base_amount":"10"\', \'"base_amount":"99"\') WHERE version = 5',
    )
    tamper(ledger, "UPDATE events SET body = CAST(body AS BLOB) WHERE version = 5")
    rows = proofs_of(ledger)
    told = rows[4].stored
    assert told is not None
    assert told.effects.own is not None
    assert str(told.effects.own.delta) == "10"
    assert [proved.version for proved in rows if proved.findings] == [5]


def test_unreadable_bytes_and_columns_leave_nothing_of_the_event_but_the_finding(tmp_path: Path) -> None:
    ledger = sample_file(tmp_path)
    tamper(ledger, "UPDATE events SET body = x'00', asset_delta = 'much' WHERE version = 10")
    proved = proofs_of(ledger)[9]
    assert (proved.version, proved.stored, proved.event) == (10, None, None)
    assert any("cannot be read" in finding.detail for finding in proved.findings)


def test_an_unknown_book_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="book_unknown") as raised:
        proofs_of(sample_file(tmp_path), "other")
    assert raised.value.expected is not None
    assert "'main'" in raised.value.expected


def test_a_sound_ledger_has_no_finding_about_its_file_or_orphans(tmp_path: Path) -> None:
    with (
        Bookkeeper.open(str(sample_file(tmp_path)), "read") as keeper,
        keeper.database.reading() as connection,
    ):
        require_sound_file(connection)
        assert list(damaged_indexes(connection)) == []
        assert list(check_orphans(connection)) == []


def test_orphans_are_told_per_book_with_their_number_and_first_version(tmp_path: Path) -> None:
    ledger = sample_file(tmp_path)
    tamper(ledger, "UPDATE events SET book = 'a' WHERE version IN (4, 5)")
    tamper(ledger, "UPDATE events SET book = x'ff' WHERE version = 9")
    with Bookkeeper.open(str(ledger), "read") as keeper, keeper.database.reading() as connection:
        found = list(check_orphans(connection))
    assert [finding.version for finding in found] == [4, 9]
    assert found[0].detail.startswith("2 events belong to the book 'a'")


def test_a_page_overwritten_in_the_file_is_damage(tmp_path: Path) -> None:
    """The page of an index: quick_check reads the tables' pages and the lists of free ones."""
    ledger = sample_file(tmp_path)
    with closing(sqlite3.connect(ledger)) as connection:
        page_bytes, page = connection.execute(
            "SELECT (SELECT page_size FROM pragma_page_size), rootpage FROM sqlite_master WHERE name = 'events'"
        ).fetchone()
    damaged = bytearray(ledger.read_bytes())
    start = (page - 1) * page_bytes
    damaged[start : start + page_bytes] = b"\x5a" * page_bytes
    ledger.write_bytes(bytes(damaged))
    with (
        pytest.raises(StorageError, match="database_damaged"),
        Bookkeeper.open(str(ledger), "read") as keeper,
        keeper.database.reading() as connection,
    ):
        require_sound_file(connection)


def test_text_that_is_not_utf_8_is_read_within_any_text_and_fails_outside(tmp_path: Path) -> None:
    ledger = sample_file(tmp_path)
    tamper(ledger, "UPDATE events SET session_id = CAST(x'ff' AS TEXT) WHERE version = 5")
    query = text("SELECT session_id FROM events WHERE version = 5")
    with Bookkeeper.open(str(ledger), "read") as keeper:
        with keeper.database.reading() as connection, any_text(connection):
            assert connection.scalar(query) == "\udcff"
        with pytest.raises(StorageError), keeper.database.reading() as connection:
            connection.scalar(query)


@pytest.fixture(scope="module")
def long_logs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Logs of few and of many events."""
    folder = tmp_path_factory.mktemp("long")
    for count in (250, 750):
        with open_keeper(folder, name=f"{count}.db") as keeper:
            keeper.append_all(BOOK, (fill(f"f:{number}") for number in range(count)))
    return {count: folder / f"{count}.db" for count in (250, 750)}


def proving_memory(ledger: Path) -> int:
    with Bookkeeper.open(str(ledger), "read") as keeper, keeper.database.reading() as connection:
        for _ in zip(range(10), Prover(connection, BOOK).run(), strict=False):
            pass  # what is made once, such as compiled statements, does not count
        tracemalloc.start()
        try:
            assert not any(proved.findings for proved in Prover(connection, BOOK).run())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_proving_takes_the_same_memory_for_three_times_the_events(
    long_logs: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred rows are read at once, in place of a thousand."""
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 100)
    few, many = (proving_memory(ledger) for ledger in long_logs.values())
    assert many < 1.3 * few


def test_a_new_ledger_has_nothing_to_prove_and_no_book(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="book_unknown"):
        proofs_of(ledger_file(tmp_path))


def test_a_reversal_of_a_baseline_is_proved_with_what_the_baseline_changed(tmp_path: Path) -> None:
    """Not with what it would change now: other events moved the starting value meanwhile."""
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="10"))
        keeper.append(BOOK, event("baseline", starting_value="25"))
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100"))
        reversed_at = keeper.append(BOOK, event("reversal", reverses=3)).stored
    assert str(reversed_at.effects.starting_value_delta) == "-15"
    assert not any(proved.findings for proved in proofs_of(tmp_path / "ledger.db"))
