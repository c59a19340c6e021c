"""The composition root: opening, the injected clock and ids, transactions, and what is kept in memory between them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper, new_uuid, utc_now
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.errors import KeyConflict, Refused, StorageError
from ledger.events import Fill, Opened
from tests.ledger.database.store_support import (
    SAMPLE_VERSIONS,
    append_sample,
    classified_withdrawal,
    content,
    fill,
    require_projections_match,
    sample_file,
    tamper,
)
from tests.support import BOOK, START, TickingClock, event, ledger_file, log_of, open_keeper


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Bookkeeper]:
    """A Bookkeeper on the sample log, its own clock going on from a later time."""
    with Bookkeeper.open(str(sample_file(tmp_path)), clock=TickingClock(START + timedelta(days=1))) as keeper:
        yield keeper


# Opening


def test_a_bots_whole_use_of_it(tmp_path: Path) -> None:
    """With the system's clock and random ids, as the module's docstring says."""
    path = str(tmp_path / "live.db")
    with Bookkeeper.open(path, "create") as keeper:
        assert keeper.open_book("main", Opened(mode="live")).existed is False
        bought = {
            "base_asset": "XRP",
            "base_amount": Decimal(10),
            "quote_asset": "RLUSD",
            "quote_amount": Decimal("13.30"),
        }
        outcome = keeper.append("main", Fill.model_validate({"side": "buy", **bought, "key": "venue:1"}))
        assert outcome.stored.version == 2
        assert keeper.view("main").state.inventory.balance("XRP") == 10
    with Bookkeeper.open(path, "read") as keeper:
        assert keeper.view("main").state.inventory.balance("RLUSD") == Decimal("-13.30")


def test_the_systems_clock_tells_utc_and_ids_are_new() -> None:
    before, after = utc_now(), utc_now()
    assert before <= after
    assert before.utcoffset() == timedelta(0)
    assert len({new_uuid() for _ in range(100)}) == 100


def test_clock_and_ids_are_the_callers(tmp_path: Path) -> None:
    """One reading of the clock for an append, one id for an event."""
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(BOOK, [fill("a"), fill("b")])
        last = keeper.append(BOOK, fill("c")).stored
    assert last.event_id == "00000000-0000-4000-8000-000000000004"
    assert START < last.recorded_at < START + timedelta(minutes=1)


def test_now_is_the_callers_clock(tmp_path: Path) -> None:
    clock = TickingClock()
    with Bookkeeper.open(str(ledger_file(tmp_path)), clock=clock) as keeper:
        assert (keeper.now(), keeper.now()) == (START, START + clock.step)


def test_opening_that_fails_leaves_the_file_free(tmp_path: Path) -> None:
    """Nothing stays open: the file of an older netbasis can be removed, moved or opened by another."""
    path = ledger_file(tmp_path)
    tamper(path, "UPDATE alembic_version SET version_num = 'x'")
    for _ in range(3):
        with pytest.raises(StorageError, match="schema_newer"):
            Bookkeeper.open(str(path))
    assert {found.name for found in tmp_path.iterdir()} == {path.name}


def test_a_ledger_without_a_book_says_so(tmp_path: Path) -> None:
    with Bookkeeper.open(str(ledger_file(tmp_path))) as keeper:
        for name in (None, "main"):
            with pytest.raises(Refused, match="book_unknown"):
                keeper.resolve(name)
        with pytest.raises(Refused, match="book_unknown"):
            keeper.view("main")


# Transactions


def test_a_transaction_reads_what_it_appended(sample: Bookkeeper) -> None:
    with sample.transaction(BOOK) as transaction:
        assert (transaction.book, transaction.head) == (sample.view(BOOK).book, sample.view(BOOK).head)
        assert transaction.state == sample.view(BOOK).state
        before = transaction.state.inventory.balance("XRP")
        stored = transaction.append(fill("t:1")).stored
        assert transaction.state.inventory.balance("XRP") == before + 10
        assert (transaction.head.version, transaction.head.hash) == (stored.version, stored.hash)
        assert transaction.find_duplicate(fill("t:1")) == stored
        assert transaction.find_duplicate(fill("t:2")) is None
        assert sample.view(BOOK).head.version == SAMPLE_VERSIONS  # nobody else sees it yet
    assert sample.view(BOOK).head.version == SAMPLE_VERSIONS + 1
    require_projections_match(sample)


def test_a_transaction_that_appends_nothing_writes_nothing(sample: Bookkeeper) -> None:
    before = content(sample.database)
    with sample.transaction(BOOK) as transaction:
        assert transaction.append(event("deposit", asset="RLUSD", amount="85", key="d:1")).existed
    assert content(sample.database) == before


def test_a_repeat_is_found_without_writing_and_a_conflict_is_told(sample: Bookkeeper) -> None:
    known = event("deposit", asset="RLUSD", amount="85", key="d:1")
    assert sample.find_duplicate(BOOK, known) == log_of(sample)[1]
    assert sample.find_duplicate(BOOK, event("deposit", asset="RLUSD", amount="85")) is None
    assert sample.find_duplicate(BOOK, event("deposit", asset="RLUSD", amount="85", key="new")) is None
    with pytest.raises(KeyConflict, match="exists_with_different_amount"):
        sample.find_duplicate(BOOK, event("deposit", asset="RLUSD", amount="86", key="d:1"))


def test_a_transaction_on_an_unknown_book_is_refused(sample: Bookkeeper) -> None:
    with pytest.raises(Refused, match="book_unknown"), sample.transaction("other"):
        pass


# Evidence


def test_evidence_of_the_state_before_the_withdrawal_is_recorded(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100"))
        stored = keeper.append(BOOK, classified_withdrawal(keeper, "30")).stored
        assert stored.effects.basis_delta == -30
        assert check(keeper.database, BOOK).ok


@pytest.mark.parametrize(
    ("field", "to"),
    [("equity_before", "101"), ("basis_before", "99"), ("profit", "1"), ("principal", "29"), ("policy", "other/1")],
)
def test_evidence_that_is_not_so_is_refused(tmp_path: Path, field: str, to: str) -> None:
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100"))
        withdrawal = classified_withdrawal(keeper, "30")
        assert withdrawal.evidence is not None
        changed = withdrawal.evidence.model_copy(update={field: to if field == "policy" else Decimal(to)})
        before = content(keeper.database)
        with pytest.raises(Refused, match="evidence_mismatch") as raised:
            keeper.append(BOOK, withdrawal.model_copy(update={"evidence": changed}))
        assert raised.value.field == f"evidence.{field}"
        assert content(keeper.database) == before


# What is kept in memory, and what is stored


def test_a_view_is_of_the_stored_projections_whoever_wrote_them(sample: Bookkeeper, tmp_path: Path) -> None:
    with Bookkeeper.open(str(tmp_path / "ledger.db")) as other:
        other.append(BOOK, fill("f:9"))
        assert sample.view(BOOK) == other.view(BOOK)


def test_each_book_keeps_its_own_state(tmp_path: Path) -> None:
    """In turns, by one Bookkeeper."""
    with open_keeper(tmp_path) as keeper:
        keeper.open_book("other", Opened(mode="paper"))
        for number in range(3):
            for name in (BOOK, "other"):
                keeper.append(name, event("deposit", asset="RLUSD", amount="1", key=f"{number}"))
                require_projections_match(keeper, name)
        append_sample(keeper, "other")
        keeper.append(BOOK, fill("f"))
        assert keeper.view(BOOK).state.inventory.balance("RLUSD") == Decimal("3") - Decimal("13.30")
        require_projections_match(keeper)
        require_projections_match(keeper, "other")


DAMAGE = {
    "a version": "UPDATE projection_heads SET version = 3",
    "text for a version": "UPDATE projection_heads SET version = 'x'",
    "no head": "DELETE FROM projection_heads",
    "garbage for an amount": "UPDATE inventory SET fills = 'much' WHERE asset = 'XRP'",
    "a huge amount": "UPDATE inventory SET fills = '1e999' WHERE asset = 'XRP'",
    "text for a count": "UPDATE basis SET unknown_bases = 'x'",
    "a fraction of a count": "UPDATE projection_heads SET unknown_fees = 1.5",
    "bytes for an asset": "UPDATE inventory SET asset = x'ff' WHERE asset = 'XRP'",
    "garbage for a time": "UPDATE marks SET at = 'noon'",
    "bytes for a source": "UPDATE marks SET source = x'00'",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_projections_that_cannot_be_right_stop_the_append_and_the_view(tmp_path: Path, name: str) -> None:
    """Nothing is added to a figure that is not one; a rebuild makes all of them anew."""
    path = sample_file(tmp_path)
    tamper(path, DAMAGE[name])
    with Bookkeeper.open(str(path), clock=TickingClock()) as keeper:
        before = content(keeper.database)
        with pytest.raises(StorageError, match="projections_behind") as raised:
            keeper.append(BOOK, fill("f:9"))
        assert "rebuild" in str(raised.value.advice)
        with pytest.raises(StorageError, match="projections_behind"):
            keeper.view(BOOK)
        assert content(keeper.database) == before
        assert rebuild(keeper.database, BOOK).changes != []
        assert keeper.append(BOOK, fill("f:9")).stored.version == SAMPLE_VERSIONS + 1
        require_projections_match(keeper)
        assert check(keeper.database, BOOK).ok


BROKEN_ROWS = {
    "text for the head": "UPDATE books SET head_version = 'x'",
    "garbage for the time": "UPDATE books SET head_recorded_at = 'noon'",
    "text for the hash": "UPDATE books SET head_hash = 'x'",
    "bytes for the numeraire": "UPDATE books SET numeraire = x'ff'",
}


@pytest.mark.parametrize("name", BROKEN_ROWS)
def test_a_books_row_that_cannot_be_right_stops_the_append_and_the_view(tmp_path: Path, name: str) -> None:
    """The book is found all the same, so that it can be checked."""
    path = sample_file(tmp_path)
    tamper(path, BROKEN_ROWS[name])
    with Bookkeeper.open(str(path), clock=TickingClock()) as keeper:
        before = content(keeper.database)
        for attempt in (lambda: keeper.append(BOOK, fill("f:9")), lambda: keeper.view(BOOK)):
            with pytest.raises(StorageError, match="event_unreadable"):
                attempt()
        assert content(keeper.database) == before
        assert keeper.resolve(None) == keeper.resolve(BOOK) == BOOK
        assert not check(keeper.database, BOOK).ok


BROKEN_EVENTS = {
    "text for a count": "UPDATE events SET unknown_fees = 'x' WHERE version = 5",
    "bytes for an asset": "UPDATE events SET asset = x'ff' WHERE version = 5",
    "a huge amount": "UPDATE events SET asset_delta = '1e999' WHERE version = 5",
    "an endless fraction": "UPDATE events SET asset_delta = '1e-999' WHERE version = 5",
    "garbage for a time": "UPDATE events SET at = 'noon' WHERE version = 5",
    "text for the bytes": "UPDATE events SET body = 'x' WHERE version = 5",
    "a fill kept as a mark": "UPDATE events SET type = 'mark' WHERE version = 5",
    "a mark with other bytes": "UPDATE events SET body = x'7b7d' WHERE version = 8",
}


@pytest.mark.parametrize("name", BROKEN_EVENTS)
def test_an_event_that_cannot_be_read_stops_whoever_needs_it(tmp_path: Path, name: str) -> None:
    """A rebuild, which adds all of them up, and an append of a key that is there; both leave everything as it was."""
    path = sample_file(tmp_path)
    tamper(path, BROKEN_EVENTS[name])
    with Bookkeeper.open(str(path), clock=TickingClock()) as keeper:
        before = content(keeper.database)
        for dry_run in (True, False):
            with pytest.raises(StorageError, match="event_unreadable"):
                rebuild(keeper.database, BOOK, dry_run=dry_run)
        assert content(keeper.database) == before
        assert keeper.append(BOOK, fill("f:9")).stored.version == SAMPLE_VERSIONS + 1  # it does not need that event


def test_a_rebuild_elsewhere_is_not_undone_by_what_is_kept_in_memory(tmp_path: Path) -> None:
    """A running bot took damaged figures into its memory; somebody rebuilds; the bot's next append must not undo it."""
    path = sample_file(tmp_path)
    tamper(path, "UPDATE inventory SET fills = '1000' WHERE asset = 'XRP'")
    with Bookkeeper.open(str(path), clock=TickingClock()) as bot, Bookkeeper.open(str(path)) as other:
        bot.append(BOOK, fill("f:8"))
        assert rebuild(other.database, BOOK).changes != []
        bot.append(BOOK, fill("f:9"))
        assert check(other.database, BOOK).findings == []


# Several books in one transaction


@pytest.fixture
def two_books(keeper: Bookkeeper) -> Bookkeeper:
    """The books `main` and `cold`, both at version 1."""
    keeper.open_book("cold", Opened(mode="live"))
    return keeper


def test_two_books_are_written_together(two_books: Bookkeeper) -> None:
    before = two_books.commits.events
    with two_books.transactions("main", "cold") as (main, cold):
        main.append(event("deposit", asset="RLUSD", amount="5", key="in"))
        cold.append(event("deposit", asset="RLUSD", amount="7", key="in"))
        assert (main.book.name, cold.book.name) == ("main", "cold")
    assert [two_books.view(name).state.inventory.balance("RLUSD") for name in ("main", "cold")] == [5, 7]
    assert [(commit.book, commit.version) for commit in two_books.commits.last] == [("cold", 2), ("main", 2)]
    assert two_books.commits.events == before + 2


def test_a_refusal_in_one_book_leaves_nothing_in_the_other(two_books: Bookkeeper) -> None:
    def move() -> None:
        with two_books.transactions("cold", "main") as (cold, main):
            cold.append(event("deposit", asset="RLUSD", amount="7", key="in"))
            main.append(event("reversal", reverses=9, key="r"))

    with pytest.raises(Refused):
        move()
    assert [two_books.view(name).head.version for name in ("main", "cold")] == [1, 1]
    assert [(commit.book, commit.version) for commit in two_books.commits.last] == [("cold", 1)]


def test_those_who_want_the_same_books_in_another_order_do_not_wait_for_each_other(
    two_books: Bookkeeper, location: str
) -> None:
    """Locked as given, a server would end one of them as a deadlock, and a file's second writer would give up."""

    def move(names: tuple[str, str], count: int = 20) -> None:
        with Bookkeeper.open(location) as keeper:
            for number in range(count):
                with keeper.transactions(*names) as both:
                    for transaction in both:
                        transaction.append(event("deposit", asset="RLUSD", amount="1", key=f"{names[0]} {number}"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(move, [("main", "cold"), ("cold", "main")]))
    assert [two_books.view(name).state.inventory.balance("RLUSD") for name in ("main", "cold")] == [40, 40]


def test_a_books_terms(two_books: Bookkeeper) -> None:
    assert two_books.terms("cold") == two_books.view("cold").book
    with pytest.raises(Refused, match="several books"):
        two_books.terms()
    with pytest.raises(Refused, match="no such book"):
        two_books.terms("warm")
