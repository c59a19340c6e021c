"""`pnl --by`: each period is what the views at its ends say, and an end without a mark of its own is unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.pool import pool_at
from engine.reports.periods import profit_by_period
from engine.views import Moment
from ledger.spans import parse_zone
from projections.pnl import pnl
from tests.engine.test_pool import BOOKS, CLOCK, STEPS, TRANSFERS, a_desk, play
from tests.projections.test_cost_basis import Fields, buy, mark
from tests.support import START

D = Decimal
DAY = timedelta(days=1)


def table(
    keeper: Bookkeeper, length: str = "day", *names: str, zone: str = "UTC", **given_: Any
) -> list[dict[str, Any]]:
    bounds = {"start": None, "end": None, "known_at": None, "now": CLOCK, **given_}
    found = profit_by_period(keeper.database, names or BOOKS, length, zone=parse_zone(zone), **bounds)
    assert isinstance(found.document, dict)
    periods: list[dict[str, Any]] = found.document["periods"]
    return periods


def equity(keeper: Bookkeeper, start: datetime, end: datetime) -> tuple[Decimal | None, list[str], Decimal, Decimal]:
    """By the way of `pnl`: the equity at an end at marks that are not older than a time; what lacks one; two sums."""
    state = pool_at(keeper.database, BOOKS, Moment(before=end), now=CLOCK).state
    fresh = {asset: price for asset, price in state.marks.items() if price.at >= start}
    figures = pnl(state, fresh, "RLUSD")
    return figures.total_value, list(figures.missing_marks), figures.net_deposits, figures.starting_value


@settings(max_examples=settings().max_examples // 2)
@given(steps=STEPS, moved=TRANSFERS, zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]))
def test_each_period_is_what_the_views_at_its_ends_say(
    steps: list[tuple[str, Fields]], moved: list[tuple[Fields, bool]], zone: str
) -> None:
    spread = [(book, {**step, "hours": step["hours"] * 2}) for book, step in steps]
    with a_desk() as keeper:
        play(keeper, spread, moved)
        found = table(keeper, zone=zone, end=START + 4 * DAY)
        for each in found:
            start, end = each["from"], each["to"]
            begins, _, deposits_before, starting_before = equity(keeper, start - DAY, start)
            ends, missing, deposits, starting = equity(keeper, start, end)
            assert (each["start_value"], each["end_value"], each["missing_marks"]) == (begins, ends, missing)
            assert each["net_deposits"] == deposits - deposits_before
            assert each["net_deposits"] + each["baselines"] == starting - starting_before
            known = None if begins is None or ends is None else ends - begins - (starting - starting_before)
            assert each["pnl"] == known
        assert all(one["to"] == other["from"] for one, other in pairwise(found))


def day(number: float) -> float:
    return number * 24


@pytest.fixture
def bought(keeper: Bookkeeper) -> Any:
    """Bought 10 XRP for 10 on the first day; marks at the end of the days 0, 1 and 3, none on day 2."""
    with a_desk() as desk:
        deposit = {"type": "deposit", "asset": "RLUSD", "amount": "100", "hours": 0.5}
        marks = [mark(price, hours=day(number) + 5) for number, price in ((0, "1.5"), (1, "2"), (3, "3"), (4, "2.5"))]
        play(desk, [("a", each) for each in (deposit, buy("10", "10", hours=1), *marks)], [])
        yield desk


def test_a_day_without_a_mark_is_listed_with_the_one_that_begins_where_it_ends(bought: Bookkeeper) -> None:
    rows = [(row["period"], row["pnl"], row["missing_marks"]) for row in table(bought, "day", "a", end=START + 5 * DAY)]
    assert rows[:5] == [
        ("2026-01-05", D(5), []),
        ("2026-01-06", D(5), []),
        ("2026-01-07", None, ["XRP"]),
        ("2026-01-08", None, []),
        ("2026-01-09", D(-5), []),
    ]


@pytest.mark.parametrize(
    ("length", "names", "pnl_"),
    [("week", ["2026-W02"], [D(15)]), ("month", ["2026-01"], [D(15)])],
)
def test_weeks_begin_on_monday_and_months_on_the_first(
    bought: Bookkeeper, length: str, names: list[str], pnl_: list[Decimal]
) -> None:
    rows = table(bought, length, "a", end=START + 5 * DAY)
    assert ([row["period"] for row in rows], [row["pnl"] for row in rows]) == (names, pnl_)


def test_a_period_that_was_asked_for_is_cut_and_begins_with_the_marks_before_it(bought: Bookkeeper) -> None:
    start = datetime(2026, 1, 6, 12, tzinfo=UTC)
    rows = table(bought, "day", "a", start=start, end=START + 2 * DAY)
    assert [(row["from"], row["to"]) for row in rows] == [
        (start, datetime(2026, 1, 7, tzinfo=UTC)),
        (datetime(2026, 1, 7, tzinfo=UTC), START + 2 * DAY),
    ]
    # On the 6th there was no mark before noon, so the first begins unknown.
    assert (rows[0]["start_value"], rows[0]["end_value"]) == (None, D(110))


def test_a_book_in_which_nothing_happened_has_no_periods() -> None:
    with a_desk() as keeper:
        assert table(keeper, "day", "a") == []
        play(keeper, [("a", mark("1", hours=3))], [])
        assert table(keeper, "day", "a") == []
