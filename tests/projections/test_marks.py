"""Marks: the newest price of each asset is the one with the greatest `at`, ties by version."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import seed, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from engine.views import Moment, view_at
from ledger.errors import StorageError, StorageFault
from ledger.events import Opened
from ledger.stored import StoredEvent
from ledger.times import parse_time
from projections import marks
from projections.marks import EMPTY, Price
from projections.state import fold
from tests.support import BOOK, SMALLEST, event, log_of, open_keeper

DAY = "2026-01-0{}T00:00:00Z"


def newest(keeper: Bookkeeper, *given: tuple[str, str, str]) -> dict[str, Price]:
    """The marks of a log with these marks: asset, price, time."""
    keeper.append_all(BOOK, [event("mark", asset=asset, price=price, at=at) for asset, price, at in given])
    folded = fold(log_of(keeper)).marks
    assert folded == keeper.view(BOOK).state.marks
    return dict(folded)


@pytest.mark.parametrize(
    ("days", "version"),
    [
        ([1], 2),
        ([1, 2], 3),
        ([2, 1], 2),  # recorded late
        ([1, 1], 3),  # a tie
        ([2, 1, 2], 4),
        ([2, 2, 1], 3),
        ([1, 3, 2, 3, 1], 5),
    ],
)
def test_the_newest_mark(days: list[int], version: int, keeper: Bookkeeper) -> None:
    given = [("XRP", f"{number}.5", DAY.format(day)) for number, day in enumerate(days, 2)]
    expected = Price(Decimal(f"{version}.5"), None, parse_time(DAY.format(max(days))), version)
    assert newest(keeper, *given) == {"XRP": expected}


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_order_in_which_marks_of_different_times_arrive_does_not_matter(
    order: tuple[int, ...], keeper: Bookkeeper
) -> None:
    found = newest(keeper, *(("XRP", f"1.{day}", DAY.format(day)) for day in order))
    assert found["XRP"].price == Decimal("1.3")


def test_a_microsecond_counts_and_a_zone_does_not(keeper: Bookkeeper) -> None:
    found = newest(
        keeper,
        ("XRP", "1", "2026-01-01T00:00:00.000001Z"),
        ("XRP", "2", "2026-01-01T00:00:00Z"),
        ("ETH", "3", "2026-01-01T00:00:00Z"),
        ("ETH", "4", "2026-01-01T00:30:00+01:00"),
    )
    assert {asset: mark.price for asset, mark in found.items()} == {"XRP": 1, "ETH": 3}


def test_assets_are_apart(keeper: Bookkeeper) -> None:
    found = newest(keeper, ("XRP", "1", DAY.format(2)), ("xrp", "2", DAY.format(1)), ("ETH", "3", DAY.format(1)))
    assert {asset: mark.price for asset, mark in found.items()} == {"XRP": 1, "xrp": 2, "ETH": 3}


def test_the_source_is_kept(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("mark", asset="XRP", price="1", price_source="venue"))
    assert keeper.view(BOOK).state.marks["XRP"].source == "venue"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("deposit", {"asset": "XRP", "amount": "1", "price": "9"}),
        ("withdrawal", {"asset": "XRP", "amount": "1", "price": "9", "basis_delta": "0"}),
        ("fill", SMALLEST["fill"]),
    ],
)
def test_the_price_of_a_deposit_or_a_fill_is_no_mark(kind: str, fields: dict[str, Any], keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("mark", asset="XRP", price="1"))
    keeper.append(BOOK, event(kind, **fields))
    assert keeper.view(BOOK).state.marks["XRP"].price == 1


def test_applying_changes_nothing_in_place(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("mark", asset="XRP", price="1"))
    (stored,) = log_of(keeper, after=1)
    after = marks.apply(EMPTY, stored)
    assert (list(EMPTY), list(after)) == ([], ["XRP"])
    with pytest.raises(TypeError):
        after["XRP"] = after["XRP"]  # type: ignore[index] # on purpose


def test_a_row_that_says_mark_with_the_bytes_of_another_event_is_not_believed(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1"))
    (stored,) = log_of(keeper, after=1)
    with pytest.raises(StorageError) as error:
        marks.apply(EMPTY, replace(stored, type="mark"))
    assert error.value.fault is StorageFault.EVENT_UNREADABLE


# Which marks stand, against a plain list


FIRST_HOUR = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 6
MARK = st.tuples(st.just("mark"), st.sampled_from(["XRP", "XRP", "ETH"]), st.integers(1, HOURS))
REVERSAL = st.tuples(st.just("reverse"), st.integers(0, 5), st.none() | st.integers(0, HOURS + 1))
STEPS = st.lists(st.lists(MARK | REVERSAL, min_size=1, max_size=3), min_size=1, max_size=6)
Step = tuple[str, Any, int | None]
Newest = dict[str, tuple[int, Decimal]]


def hour(number: int) -> datetime:
    """The whole hour of that number."""
    return FIRST_HOUR + timedelta(hours=number)


def newest_of(selection: list[StoredEvent]) -> Newest:
    """By asset, version and price (the version and a half) of the newest mark of a list that nothing in it reverses."""
    reversed_versions = [stored.reverses for stored in selection]
    found: Newest = {}
    # Of the same hour the one that comes last in the list.
    for stored in sorted(selection, key=lambda stored: stored.at):
        if stored.type == "mark" and stored.version not in reversed_versions:
            found[str(stored.asset)] = (stored.version, Decimal(f"{stored.version}.5"))
    return found


def shown(found: marks.Marks) -> Newest:
    """The same of a fold."""
    return {asset: (mark.version or 0, mark.price) for asset, mark in found.items()}


class Book:
    """A book of a keeper that marks are appended to, and a list of those that stand."""

    def __init__(self, keeper: Bookkeeper, name: str) -> None:
        keeper.open_book(name, Opened.model_validate({"mode": "live"}))
        self.keeper, self.name = keeper, name
        self.standing: list[int] = []
        self.version = 1

    def append(self, batch: list[Step]) -> None:
        """Append marks and reversals in one transaction; a reversal takes one that stands, counted from the newest."""
        given = []
        for kind, what, at in batch:
            if kind == "reverse" and not self.standing:
                continue
            self.version += 1
            when = {} if at is None else {"at": hour(at).isoformat()}
            if kind == "mark":
                given.append(event("mark", asset=what, price=f"{self.version}.5", **when))
                self.standing.append(self.version)
            else:
                target = self.standing.pop(-1 - what % len(self.standing))
                given.append(event("reversal", reverses=target, **when))
        self.keeper.append_all(self.name, given)

    def at(self, **moment: Any) -> Newest:
        """The newest marks in a view."""
        return shown(view_at(self.keeper.database, self.name, Moment(**moment)).state.marks)

    def require_as_listed(self) -> list[StoredEvent]:
        """The newest marks of now, as kept and as folded anew, are those of the list. Its events."""
        log = log_of(self.keeper, self.name)
        expected = newest_of(log)
        assert {version for version, _ in expected.values()} <= set(self.standing)
        assert shown(self.keeper.view(self.name).state.marks) == self.at() == expected
        return log


def require_views(book: Book, log: list[StoredEvent], *, every: int = 1) -> None:
    """Each view, by version and by time, as it was and as it was known, has the newest of the events that it selects.

    As of every hour; of the other views every so many.
    """
    for number in range(HOURS + 1):
        assert book.at(as_of=hour(number)) == newest_of([s for s in log if s.at <= hour(number)]), f"as of {number}"
    for number in range(1, HOURS + 1, every):
        assert book.at(before=hour(number)) == newest_of([s for s in log if s.at < hour(number)]), f"before {number}"
    for version in range(2, len(log) + 1, every):
        assert book.at(as_of=version) == newest_of(log[:version]), f"as of version {version}"
    for recorded_at in sorted({stored.recorded_at for stored in log})[1::every]:
        known = [stored for stored in log if stored.recorded_at <= recorded_at]
        assert book.at(known_at=recorded_at) == newest_of(known), f"known at {recorded_at}"
        until = hour(HOURS // 2)
        assert book.at(known_at=recorded_at, as_of=until) == newest_of([s for s in known if s.at <= until])


SEEDS = (15, 5, 10, 12, 19, 28)


def test_the_newest_mark_is_the_newest_that_stands_in_every_selection() -> None:
    """In twelve books or more: until each case was reached five times."""
    reached: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder), book=None) as keeper:

        def run(batches: list[list[Step]]) -> None:
            reached["books"] += 1
            book = Book(keeper, f"book {reached['books']}")
            log: list[StoredEvent] = []
            for batch in batches:
                book.append(batch)
                log = book.require_as_listed()
            require_views(book, log, every=5)
            ignoring = newest_of([stored for stored in log if stored.type == "mark"])
            reached["the newest was reversed"] += ignoring != newest_of(log)
            reached["none is left"] += len(newest_of(log)) < len(ignoring)
            ends = [newest_of([s for s in log if s.at <= hour(number)]) for number in range(HOURS + 2)]
            newest_hour = [max((log[v - 1].at for v, _ in end.values()), default=FIRST_HOUR) for end in ends]
            reached["an earlier one came back"] += newest_hour != sorted(newest_hour)

        for number in SEEDS:
            seed(number)(settings(max_examples=settings().max_examples // 2)(drawn(STEPS)(run)))()
            if min(reached.values()) >= 5:
                break
        for number in (1, reached["books"] // 2, reached["books"]):
            assert check(keeper.database, f"book {number}").ok
            assert rebuild(keeper.database, f"book {number}", dry_run=True).changes == []
    assert min(reached.values()) >= 5, reached


def test_a_reversal_counts_from_its_own_time_on(keeper: Bookkeeper) -> None:
    """m1 at 1, m2 at 2, m3 at 3, m2 reversed at 5, m3 reversed at 3, its own time."""
    book = Book(keeper, "other")
    book.append([("mark", "XRP", 1), ("mark", "XRP", 2), ("mark", "XRP", 3)])
    book.append([("reverse", 1, 5)])
    assert book.at() == {"XRP": (4, Decimal("4.5"))}
    book.append([("reverse", 0, None)])
    log = book.require_as_listed()
    expected = {0: None, 1: 2, 2: 3, 3: 3, 4: 3, 5: 2, 6: 2}
    for number, version in expected.items():
        found = {} if version is None else {"XRP": (version, Decimal(f"{version}.5"))}
        assert book.at(as_of=hour(number)) == found, number
    require_views(book, log)
    assert check(keeper.database, "other").ok
