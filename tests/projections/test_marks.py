"""Marks: the newest price of each asset is the one with the greatest `at`, ties by version."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from ledger.errors import StorageError, StorageFault
from ledger.times import parse_time
from projections import marks
from projections.marks import EMPTY, Price
from projections.state import fold
from tests.support import BOOK, SMALLEST, event, log_of

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
