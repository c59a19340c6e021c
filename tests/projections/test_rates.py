"""Figures in another currency: each amount at the rate of its own time, and unknown where there is no rate."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import share, total
from projections.cost_basis import CostBasisFold, standing_order
from projections.cost_figures import CostBasis
from projections.lots import METHODS
from projections.rates import Rates, rates_of
from projections.returns import DAY, Returns, ReturnsFold
from tests.projections.in_memory import log_of
from tests.projections.test_cost_basis import Fields, adjustment, buy, logs, mark, sell
from tests.projections.test_returns import deposit, earn, on, withdraw
from tests.support import START

D = Decimal


def basis(steps: list[Fields], method: str = "fifo", currency: str = "EUR") -> tuple[CostBasis, Rates]:
    events = standing_order(log_of(steps))
    rates = rates_of(currency, "RLUSD", events)
    return CostBasisFold("RLUSD", METHODS[method], rates=rates).run(events), rates


def eur(price: str, hours: float) -> Fields:
    return mark(price, "EUR", hours=hours)


def gains(found: CostBasis) -> list[tuple[Decimal | None, Decimal | None]]:
    return [(each.proceeds_in, each.cost_in) for each in found.disposals]


def test_cost_and_proceeds_have_the_rate_of_their_own_dates() -> None:
    """Cost 100 at 1.00, proceeds 110 at 1.10: no gain."""
    found, _ = basis([eur("1", 0), buy("10", "100", hours=1), eur("1.10", 2), sell("10", "110", hours=3)])
    assert gains(found) == [(D(100), D(100))]
    assert found.realised == D(10)


def test_of_a_short_lot_the_proceeds_have_the_rate_of_its_opening() -> None:
    found, _ = basis([eur("1", 0), sell("10", "110", hours=1), eur("1.10", 2), buy("10", "110", hours=3)])
    assert gains(found) == [(D(110), D(100))]


def test_a_mark_of_the_same_time_is_its_rate_and_a_later_one_is_not() -> None:
    found, _ = basis([buy("10", "100", hours=1), eur("2", 1), sell("10", "100", hours=3), eur("4", 4)])
    assert gains(found) == [(D(50), D(50))]


def test_a_missing_rate_makes_one_side_unknown_and_never_0() -> None:
    found, _ = basis([buy("10", "100", hours=1), eur("2", 2), sell("10", "100", hours=3)])
    assert gains(found) == [(D(50), None)]
    at_0, _ = basis([eur("0", 0), buy("10", "100", hours=1), sell("10", "100", hours=3)])
    assert gains(at_0) == [(None, None)]


def test_each_purchase_that_an_average_is_made_of_has_the_rate_of_its_own_date() -> None:
    """100 at 1.00 and 900 at 1.20 are 850 EUR; the lot's date is that of the first."""
    steps = [eur("1", 0), buy("10", "100", hours=1), eur("1.20", 2), buy("90", "900", hours=3)]
    found, _ = basis([*steps, sell("100", "1000", hours=4)], "average")
    assert gains(found) == [(D("833.333333333333333333"), D(850))]


def test_income_has_the_rate_of_its_date() -> None:
    steps = [mark("2", hours=0), eur("1.25", 1), adjustment("XRP", "5", "reward", hours=2), eur("5", 3)]
    found, _ = basis(steps)
    assert [(each.worth, each.worth_in) for each in found.receipts] == [(D(10), D(8))]


@given(steps=logs(), rates=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 500)), max_size=5))
def test_every_lot_costs_what_it_cost_at_the_rate_of_its_opening(
    steps: list[Fields], rates: list[tuple[int, int]]
) -> None:
    """What one hand works out from the figures in the numeraire; a lot's parts may differ from it in the last digits."""
    marks = [eur(f"{price / 100:f}", hours) for hours, price in rates]
    found, known = basis([*steps, *marks], "fifo")
    plain = CostBasisFold("RLUSD", METHODS["fifo"]).run(standing_order(log_of([*steps, *marks])))
    assert [(lot.quantity, lot.cost) for lot in found.open_lots()] == [
        (lot.quantity, lot.cost) for lot in plain.open_lots()
    ]
    sides = [(lot.cost_in, lot.cost, lot.origin.at) for lot in found.open_lots()]
    for each in found.disposals:
        bought, sold = (each.closed, each.opened) if each.is_short else (each.opened, each.closed)
        sides += [(each.cost_in, each.cost, bought.at), (each.proceeds_in, each.proceeds, sold.at)]
    for shown, amount, at in sides:
        newest = max(((hours, number) for number, (hours, _) in enumerate(rates) if _at(hours) <= at), default=None)
        assert (shown is None) == (amount is None or newest is None)
        if shown is not None and amount is not None and newest is not None:
            by_hand = share(amount, D(100), D(rates[newest[1]][1]))
            assert abs(shown - by_hand) <= D("1e-16")
    assert known.convert(D(1), START - DAY) is None


def _at(hours: int) -> Any:
    return START + timedelta(hours=hours)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(1, 999))
def test_the_parts_of_a_lot_add_up_to_its_cost_in_the_currency(parts: list[int], cents: int) -> None:
    steps = [eur("1.07", 0), buy(str(sum(parts)), f"{cents / 100:f}", hours=1)]
    found, rates = basis([*steps, *(sell(str(part), "1", hours=2 + n) for n, part in enumerate(parts))])
    whole = total(each.cost_in for each in found.disposals if each.cost_in is not None)
    assert whole == rates.convert(D(cents) / 100, START + timedelta(hours=1))


def test_the_numeraire_itself_is_a_currency_at_1() -> None:
    found, _ = basis([buy("10", "100"), sell("10", "110")], currency="RLUSD")
    assert gains(found) == [(D(110), D(100))]


# ---- the returns of a period


def returns(steps: list[Fields], age: timedelta = 1000 * DAY) -> Returns:
    fold = ReturnsFold("RLUSD", None, START + timedelta(days=10), age, currency="EUR")
    return fold.run(standing_order(log_of(steps)))


def rate(day: float, price: str) -> Fields:
    return on(day, type="mark", asset="EUR", price=price)


def test_each_valuation_and_each_flow_has_the_rate_of_its_moment() -> None:
    """110 in at 1.10 are 100 EUR; 121 at 1.21 are 100 EUR again, so that the second deposit of 121 begins at 200."""
    steps = [rate(0.5, "1.10"), deposit(1, "110"), rate(2, "1.21"), earn(3, "11"), deposit(4, "121"), rate(5, "2.42")]
    found = returns(steps)
    assert [flow.value for flow in found.flows] == [D(100), D(100)]
    assert [(each.start_value, each.end_value) for each in found.sub_periods] == [(D(100), D(100)), (D(200), D(100))]
    assert (found.time_weighted, found.drawdown) == (D("-0.5"), D("-0.5"))


def test_a_rate_that_is_missing_or_stale_is_named_with_its_moment() -> None:
    found = returns([deposit(1, "110"), rate(2, "1.10"), withdraw(3, "11"), rate(9.9, "1.10")], age=DAY)
    assert found.time_weighted is None
    assert found.missing == [(START + DAY, ("EUR",))]
    stale = returns([rate(0.9, "1.10"), deposit(1, "110"), withdraw(5, "11"), rate(9.9, "1.10")], age=DAY)
    assert stale.missing == [(START + 5 * DAY, ("EUR",))]


@pytest.mark.parametrize("asset", ["XRP", "RLUSD"])
def test_an_opening_is_converted_too(asset: str) -> None:
    opening = on(1, type="adjustment", asset=asset, amount="10", reason="opening")
    found = returns([on(0.4, type="mark", asset="XRP", price="1"), rate(0.5, "2"), opening])
    assert [flow.value for flow in found.flows] == [D(5)]
