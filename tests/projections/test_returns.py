"""Returns: worked examples, what is unknown and why, and that capital movements do not change a rate."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.cost_basis import standing_order
from projections.returns import DAY, Returns, ReturnsFold, earned, money_weighted
from tests.projections.in_memory import log_of
from tests.support import START

D = Decimal
Fields = dict[str, Any]


def returns(
    steps: list[Fields], *, days: float = 400, age: timedelta = 1000 * DAY, start: float | None = None
) -> Returns:
    began = None if start is None else START + timedelta(days=start)
    fold = ReturnsFold("RLUSD", began, START + timedelta(days=days), age)
    return fold.run(standing_order(log_of(steps)))


def on(day: float, **fields: Any) -> Fields:
    return {**fields, "hours": day * 24}


def deposit(day: float, amount: str, **more: Any) -> Fields:
    return on(day, type="deposit", asset="RLUSD", amount=amount, **more)


def withdraw(day: float, amount: str) -> Fields:
    return on(day, type="withdrawal", asset="RLUSD", amount=amount, basis_delta="0")


def earn(day: float, amount: str) -> Fields:
    """What trading earned, in the numeraire."""
    return on(day, type="adjustment", asset="RLUSD", amount=amount, reason="reward")


def mark(day: float, price: str) -> Fields:
    return on(day, type="mark", asset="XRP", price=price)


def test_a_deposit_before_a_loss_does_not_hide_the_gain_before_it() -> None:
    """100 gain 10 %, 1,000 more come in, 5.45 % are lost: 1.1 × 1049.5/1110 − 1."""
    found = returns([deposit(1, "100"), earn(2, "10"), deposit(3, "1000"), earn(4, "-60.5")])
    assert [each.end_value for each in found.sub_periods] == [D(110), D("1049.5")]
    assert found.time_weighted is not None
    assert abs(found.time_weighted - D("0.0400450450")) < D("1e-9")
    assert earned(found) == D("-50.5")


def test_the_gap_between_a_movements_price_and_the_mark_is_earned() -> None:
    """10 XRP at 1.00 where the mark is 1.10: the sub-period begins at 10 and is worth 11."""
    steps = [mark(0.5, "1.10"), on(1, type="deposit", asset="XRP", amount="10", price="1")]
    assert returns(steps).time_weighted == D("0.1")


def test_a_withdrawal_is_no_drawdown_and_a_fall_is_one() -> None:
    steps = [deposit(1, "100"), earn(2, "100"), withdraw(3, "150"), earn(4, "-10"), deposit(5, "1")]
    found = returns(steps)
    assert found.drawdown == D("-0.2")


def test_a_fall_between_movements_shows_at_a_mark() -> None:
    steps = [mark(0.5, "2"), on(1, type="deposit", asset="XRP", amount="10", price="2"), mark(2, "1"), mark(3, "2")]
    found = returns(steps)
    assert (found.time_weighted, found.drawdown) == (D(0), D("-0.5"))


def test_a_moment_without_a_fresh_mark_is_listed_and_nothing_is_interpolated() -> None:
    steps = [
        mark(0.5, "2"),
        on(1, type="deposit", asset="XRP", amount="10", price="2"),
        deposit(10, "5"),
        mark(399.9, "2"),
    ]
    found = returns(steps, age=DAY)
    assert found.time_weighted is None
    assert found.missing == [(START + timedelta(days=10), ("XRP",))]
    assert found.end_value == D(25)


def test_a_period_begins_with_the_equity_that_was_there() -> None:
    found = returns([deposit(1, "100"), earn(2, "100"), earn(12, "20")], start=10, days=20)
    assert (found.start_value, found.flows, found.time_weighted) == (D(200), [], D("0.1"))


def test_a_sub_period_that_begins_at_0_or_less_has_no_rate() -> None:
    found = returns([earn(1, "-10"), deposit(2, "10"), earn(3, "5")])
    assert [each.rate for each in found.sub_periods] == [None]
    assert found.time_weighted is None


def test_an_opening_is_a_movement_and_a_baseline_is_none() -> None:
    steps = [on(1, type="adjustment", asset="RLUSD", amount="100", reason="opening"), earn(2, "10")]
    steps.append(on(3, type="baseline", starting_value="7"))
    assert returns(steps).time_weighted == D("0.1")


@pytest.mark.parametrize(
    ("flows", "rate", "why"),
    [
        ([(0, -100), (365, 110)], 0.1, None),
        ([(0, -100), (730, 121)], 0.1, None),
        ([(0, -1000), (100, 400), (365, 700)], 0.14, None),
        ([(0, 10)], None, "within one day"),
        ([(0, -100), (365, -5)], None, "one way"),
        ([(0, -100), (100, 400), (300, -310)], None, "rates"),
    ],
)
def test_the_money_weighted_rate(flows: list[tuple[int, int]], rate: float | None, why: str | None) -> None:
    found, reason = money_weighted([(date(2026, 1, 1) + timedelta(days=day), D(amount)) for day, amount in flows])
    if rate is None:
        assert found is None
        assert why is not None
        assert reason is not None
        assert why in reason
        return
    assert reason is None
    assert found is not None
    worth = sum(amount / (1 + found) ** (day / 365) for day, amount in flows)
    assert abs(worth) < 1e-6
    assert abs(found - rate) < 0.01


AMOUNT = st.integers(1, 10_000).map(str)


@given(
    earnings=st.lists(st.tuples(st.integers(1, 90), st.integers(-40, 60)), min_size=1, max_size=6),
    movements=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 5_000)), max_size=5),
)
def test_what_comes_in_does_not_change_the_rate(
    earnings: list[tuple[int, int]], movements: list[tuple[int, int]]
) -> None:
    """Each day earns a percentage of what is there; deposits of any size at any time leave the rate as it was."""

    def played(flows: list[tuple[int, int]]) -> Returns:
        equity, steps = D(1000), [deposit(0.1, "1000")]
        moments = sorted(
            [(day, "earn", percent) for day, percent in earnings] + [(day + 0.5, "in", x) for day, x in flows]
        )
        for day, kind, number in moments:
            if kind == "earn":
                gain = (equity * number / 100).quantize(D("1e-12"))
                equity += gain
                steps += [earn(day, f"{gain:f}")] if gain else []
            else:
                equity += number
                steps.append(deposit(day, str(number)))
        return returns(steps)

    plain, moved = played([]), played(movements)
    assert plain.time_weighted is not None
    assert moved.time_weighted is not None
    assert abs(plain.time_weighted - moved.time_weighted) < D("1e-9")
