"""What other programs find for their own examples: hledger, Portfolio Performance, nautilus, rotki, beancount.

Only facts are taken over: what was traded and what came out. Where netbasis finds something else, the test says so, and
docs/decisions.md says why.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.amounts import total
from projections.cost_basis import CostBasisFold, standing_order
from projections.cost_figures import CostBasis
from projections.lots import METHODS
from projections.money_weighted import money_weighted
from projections.returns import DAY, Returns, ReturnsFold
from tests.projections.in_memory import log_of
from tests.projections.test_cost_basis import Fields, buy, sell
from tests.support import START

D = Decimal


def on(day: str, hour: int = 0, **fields: Any) -> Fields:
    """An event of a day, at an hour of it."""
    at = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)
    return {**fields, "hours": (at - START) / timedelta(hours=1)}


def moved(day: str, amount: str, hour: int = 0) -> Fields:
    """Capital that came in or went out."""
    if amount.startswith("-"):
        return on(day, hour, type="withdrawal", asset="RLUSD", amount=amount[1:], basis_delta="0")
    return on(day, hour, type="deposit", asset="RLUSD", amount=amount)


def earned(day: str, amount: str, hour: int = 12) -> Fields:
    """What was earned or lost: interest, fees, a valuation."""
    return on(day, hour, type="adjustment", asset="RLUSD", amount=amount, reason="reward")


def returns(steps: list[Fields], end: str, start: str | None = None) -> Returns:
    """Of the days up to `end` and without it."""
    ends = datetime.fromisoformat(end).replace(tzinfo=UTC)
    begins = None if start is None else datetime.fromisoformat(start).replace(tzinfo=UTC)
    events = [stored for stored in standing_order(log_of(steps)) if stored.at < ends]
    return ReturnsFold("RLUSD", begins, ends, 9999 * DAY).run(events)


def a_year(rate: Decimal | None, days: int) -> Decimal:
    """A rate of a period as a yearly one, in percent with two digits, as hledger shows it."""
    assert rate is not None
    return (((1 + rate) ** (D(365) / days) - 1) * 100).quantize(D("0.01"))


def percent(rate: float | None) -> Decimal:
    assert rate is not None
    return (D(rate) * 100).quantize(D("0.01"))


# ---- hledger roi


GROWS = [moved("2017-01-01", "100"), *(earned(f"2017-{month:02}-28", "1") for month in range(1, 13))]
HALF_AND_HALF = [moved("2017-01-01", "100"), moved("2017-06-01", "100")]
IN_AND_OUT = [
    moved("2017-01-01", "100"),
    earned("2017-06-30", "10"),
    moved("2017-07-01", "100"),
    moved("2017-10-01", "-50"),
    earned("2017-12-31", "-5"),
]


@pytest.mark.parametrize(
    ("steps", "start", "end", "irr", "twr"),
    [
        (HALF_AND_HALF, None, "2018-01-01", "0.00", "0.00"),
        ([moved("2017-01-01", "100"), earned("2017-12-31", "12")], None, "2018-01-01", "12.00", "12.00"),
        (GROWS, None, "2018-01-01", "12.00", "12.00"),
        ([*HALF_AND_HALF, earned("2017-12-31", "20")], None, "2018-01-01", "12.72", "10.00"),
        ([*HALF_AND_HALF, earned("2017-12-31", "-180")], None, "2018-01-01", "-95.73", "-90.00"),
        (IN_AND_OUT, None, "2017-04-01", "0.00", "0.00"),
        (IN_AND_OUT, "2017-04-01", "2017-07-01", "46.56", "46.56"),
        (IN_AND_OUT, "2017-07-01", "2017-10-01", "0.00", "0.00"),
        (IN_AND_OUT, "2017-10-01", "2018-01-01", "-11.83", "-11.83"),  # hledger: TWR −11.82, its units being rounded
        (IN_AND_OUT, "2017-06-01", "2018-01-01", "5.24", "11.45"),
    ],
)
def test_hledger_roi(steps: list[Fields], start: str | None, end: str, irr: str, twr: str) -> None:
    """hledger shows both as yearly rates; netbasis shows the time-weighted one of the period."""
    found = returns(steps, end, start)
    assert found.start is not None
    assert found.end is not None
    assert a_year(found.time_weighted, (found.end - found.start).days) == D(twr)
    rate, why = money_weighted(found.cash_flows())
    assert why is None
    assert percent(rate) == D(irr)


def test_hledger_roi_where_there_is_no_return() -> None:
    """hledger shows 0 %; netbasis shows none."""
    found = returns([], "2019-12-01", "2019-11-01")
    assert (found.time_weighted, found.sub_periods) == (None, [])


def test_hledger_roi_of_a_profit_that_is_taken_out_with_the_capital() -> None:
    """100 in, 101 out on the next day. hledger, valuing at cost, has an IRR of 3678.34 % and a TWR of 0 %; netbasis 1 %."""
    found = returns([moved("2019-11-01", "100"), earned("2019-11-01", "1"), moved("2019-11-02", "-101")], "2019-12-01")
    assert found.sub_periods[0].rate == D("0.01")
    rate, why = money_weighted([(day, amount) for day, amount in found.cash_flows() if amount])
    assert why is None
    assert percent(rate) == D("3678.34")


def test_hledger_lots() -> None:
    """10 at 50, sold at 55, gain 50. A sale of 15 it refuses as --no-shorts does; here the 5 are a short lot."""
    sold = CostBasisFold("RLUSD", METHODS["fifo"]).run(standing_order(log_of([buy("10", "500"), sell("10", "550")])))
    assert (sold.realised, list(sold.open_lots())) == (D(50), [])
    oversold = CostBasisFold("RLUSD", METHODS["fifo"]).run(
        standing_order(log_of([buy("10", "500"), sell("15", "825")]))
    )
    assert oversold.realised == D(50)
    assert [(lot.quantity, lot.cost) for lot in oversold.open_lots()] == [(D(-5), D(-275))]


# ---- Portfolio Performance: its client index, and its internal rate of return


DAYS: list[tuple[str, str | None, str | None, str]] = [
    # A day, what was earned on it, what was moved at its end, and the accumulated return after it.
    ("2011-12-31", None, "10000", "0"),
    ("2012-01-01", "230", None, "0.023"),
    ("2012-01-02", "200", "200", "0.043"),
    ("2012-01-03", "-234.41", "-400", "0.02"),
    ("2012-01-04", "293.99", None, "0.05"),
    ("2012-01-05", "293.99", None, "0.08"),
    ("2012-01-06", "195.99", "5400", "0.10"),
    ("2012-01-07", "-882.52", "-3697.04", "0.04"),
    ("2012-01-08", "-1003.85", None, "-0.05"),
]


def test_portfolio_performances_client_index() -> None:
    """Each day's accumulated return within the millionth that it is tested with; movements are at the end of their day."""
    steps: list[Fields] = []
    for day, gain, movement, accumulated in DAYS:
        steps += [earned(day, gain)] if gain else []
        steps += [moved(day, movement, 23)] if movement else []
        after = (date.fromisoformat(day) + DAY).isoformat()
        found = returns(steps, after).time_weighted
        assert found is not None
        assert abs(found - D(accumulated)) < D("1e-6"), day


def test_portfolio_performances_deposit_on_the_last_day_is_neutral() -> None:
    steps = [moved("2012-01-01", "100"), earned("2012-01-02", "10"), moved("2012-01-10", "100")]
    assert returns(steps, "2012-01-11").time_weighted == D("0.1")


def test_portfolio_performances_interest_without_an_investment() -> None:
    """It reports an error and 0 %; netbasis has no rate, since nothing was put in."""
    assert returns([earned("2012-01-02", "1")], "2012-01-10").time_weighted is None


@pytest.mark.parametrize(
    ("flows", "rate", "tolerance"),
    [
        ([("2010-01-01", -200), ("2010-12-31", 210)], 0.050140747, 1e-8),
        (
            [
                ("2002-11-30", -4398),
                ("2007-06-11", 200),
                ("2008-05-11", 270),
                ("2009-05-01", 280),
                ("2010-06-01", 280),
                ("2011-05-02", 300),
                ("2012-04-30", 330),
                ("2012-12-06", 14508),
            ],
            0.1444629967,
            1e-4,  # as there: at its figure the flows are worth −0.88, at ours nothing
        ),
    ],
)
def test_portfolio_performances_internal_rate_of_return(
    flows: list[tuple[str, int]], rate: float, tolerance: float
) -> None:
    found, why = money_weighted([(date.fromisoformat(day), D(amount)) for day, amount in flows])
    assert why is None
    assert found is not None
    assert abs(found - rate) < tolerance


# ---- nautilus: positions at their average price, with commissions of 0.1 %


def position(fills: list[tuple[int, str]]) -> CostBasis:
    """Fills of a signed quantity at a price, with a commission in the quote currency."""
    made = []
    for quantity, price in fills:
        worth = D(abs(quantity)) * D(price)
        fee = {"fee_asset": "RLUSD", "fee_amount": f"{worth / 1000:f}"}
        made.append((buy if quantity > 0 else sell)(str(abs(quantity)), f"{worth:f}", **fee))
    return CostBasisFold("RLUSD", METHODS["average"]).run(standing_order(log_of(made)))


TRADING_TECHNOLOGIES = [(12, "100"), (17, "99"), (-9, "101"), (-4, "105"), (3, "103")]
INTERLEAVED = [(12, "10000"), (17, "9999"), (-9, "10001"), (3, "10003"), (-4, "10005")]


@pytest.mark.parametrize(
    ("fills", "count", "realised", "average"),
    [
        (TRADING_TECHNOLOGIES, 2, "-2.88300000", "99.41379310344827586206896552"),
        (TRADING_TECHNOLOGIES, 3, "10.48386207", "99.41379310344827586206896552"),
        (TRADING_TECHNOLOGIES, 4, "32.40868966", "99.41379310344827586206896552"),
        (TRADING_TECHNOLOGIES, 5, "32.09968966", "99.98003629764065335753176042"),
        (INTERLEAVED, 2, "-289.98300000", "9999.413793103448275862068966"),
        (INTERLEAVED, 3, "-365.71613793", "9999.413793103448275862068966"),
        (INTERLEAVED, 4, "-395.72513793", "9999.881559220389805097451274"),
        (INTERLEAVED, 5, "-415.27137481", "9999.881559220389805097451274"),
    ],
)
def test_nautilus_positions(fills: list[tuple[int, str]], count: int, realised: str, average: str) -> None:
    """Its realised PnL is ours less the fees; eight digits of it, and sixteen of the average price."""
    found = position(fills[:count])
    assert found.realised is not None
    assert found.fees.whole is not None
    assert (found.realised - found.fees.whole).quantize(D("1e-8")) == D(realised)
    (lot,) = found.open_lots()
    assert lot.unit_cost is not None
    assert abs(lot.unit_cost - D(average)) < D("1e-15")


@pytest.mark.parametrize(
    ("fills", "count", "realised", "left", "price"),
    [
        # nautilus splits the fill and its commission: 97.90 of the long position, 23.925 of the short one.
        ([(10, "100"), (-15, "110"), (5, "105")], 2, "97.35", "-5", "110"),
        ([(10, "100"), (-15, "110"), (5, "105")], 3, "121.825", "0", None),
        # 98.10 of the short position, −1.35 and 23.175 of the long one.
        ([(-10, "100"), (25, "90"), (-5, "95")], 2, "96.75", "15", "90"),
        ([(-10, "100"), (25, "90"), (-5, "95")], 3, "121.275", "10", "90"),
    ],
)
def test_nautilus_flips(fills: list[tuple[int, str]], count: int, realised: str, left: str, price: str | None) -> None:
    """Figures of nautilus 1.221, whose two positions are added up."""
    found = position(fills[:count])
    assert found.realised is not None
    assert found.fees.whole is not None
    assert found.realised - found.fees.whole == D(realised)
    assert [(lot.quantity, lot.unit_cost) for lot in found.open_lots()] == ([(D(left), D(price))] if price else [])


@pytest.mark.parametrize(
    ("first", "then", "left", "cost"),
    [(sell, buy, "0.499", "24950"), (buy, sell, "-0.501", "-25050")],
)
def test_nautilus_flips_with_a_commission_in_the_base_currency(first: Any, then: Any, left: str, cost: str) -> None:
    """1 at 50,000, then 1.5 the other way with 0.001 as commission: it is taken whole from what is left of the fill."""
    steps = [first("1", "50000"), then("1.5", "75000", fee_asset="XRP", fee_amount="0.001")]
    for fees_in_cost in (False, True):
        fold = CostBasisFold("RLUSD", METHODS["average"], fees_in_cost=fees_in_cost)
        found = fold.run(standing_order(log_of(steps)))
        assert (found.realised, found.fees.whole) == (D(0), D(50))
        assert [(lot.quantity, lot.cost) for lot in found.open_lots()] == [(D(left), D(cost))]


# ---- rotki


ROTKI = {"first": buy("5", "1340.5"), "second": buy("15", "9186.75"), "third": buy("3", "1810.245")}


def costs(steps: list[Fields], method: str = "fifo") -> list[tuple[Decimal, Decimal | None]]:
    found = CostBasisFold("RLUSD", METHODS[method]).run(standing_order(log_of(steps)))
    return [(each.quantity, each.cost) for each in found.disposals]


def test_rotki_fifo() -> None:
    """8 of the lots of 5 at 268.10 and 15 at 612.45; 5 of one lot in two sales."""
    assert costs([*ROTKI.values(), sell("8", "1")]) == [(D(5), D("1340.5")), (D(3), D("1837.35"))]
    assert costs([ROTKI["first"], sell("3", "1"), sell("2", "1")]) == [(D(3), D("804.3")), (D(2), D("536.2"))]


def remaining(method: str, *steps: Fields) -> list[tuple[Decimal, Decimal]]:
    """The unit cost and the quantity of each open lot."""
    found = CostBasisFold("RLUSD", METHODS[method]).run(standing_order(log_of(steps)))
    return sorted((lot.cost / lot.quantity, lot.quantity) for lot in found.open_lots() if lot.cost is not None)


def test_rotki_lifo_and_hifo() -> None:
    """Its tests of both orders, where a lot that is left in part is closed on, or a newer one before it."""
    lifo = [buy("2", "2"), buy("5", "10"), sell("3", "1"), buy("1", "3"), sell("4", "1")]
    assert remaining("lifo", *lifo[:3]) == [(D(1), D(2)), (D(2), D(2))]
    assert remaining("lifo", *lifo) == [(D(1), D(1))]
    assert remaining("lifo", *lifo, buy("1", "4"), sell("2", "1")) == []
    hifo = [buy("2", "6"), buy("5", "5"), sell("1", "1"), buy("1", "2"), sell("6", "1")]
    assert remaining("hifo", *hifo[:3]) == [(D(1), D(5)), (D(3), D(1))]
    assert remaining("hifo", *hifo) == [(D(1), D(1))]


AVERAGE: list[tuple[str | int, int, str | None, str, str]] = [
    # What was traded at what price; the gain of a sale; cost and quantity of all that is left.
    (2, 10, None, "20", "2"),
    (-1, 15, "5", "10", "1"),
    (1, 30, None, "40", "2"),
    ("-1.5", 10, "-15", "10", "0.5"),
    (3, 20, None, "70", "3.5"),
    (-2, 30, "20", "30", "1.5"),
    ("-1.5", 10, "-15", "0", "0"),
    (1, 10, None, "10", "1"),
    ("-0.5", 5, "-2.5", "5", "0.5"),
]


def test_rotki_average_cost() -> None:
    steps: list[Fields] = []
    for quantity, price, gain, cost, left in AVERAGE:
        size = abs(D(quantity))
        steps.append((buy if D(quantity) > 0 else sell)(f"{size:f}", f"{size * price:f}"))
        found = CostBasisFold("RLUSD", METHODS["average"]).run(standing_order(log_of(steps)))
        held = list(found.open_lots())
        known = [lot.cost for lot in held if lot.cost is not None]
        assert (total(known), total(lot.quantity for lot in held)) == (D(cost), D(left))
        if gain is not None:
            assert found.disposals[-1].gain == D(gain)


def test_rotki_sells_more_than_was_bought() -> None:
    """Of 3 that were sold it knows 2, which cost 880.55; the third is a gain without a cost there, and a short lot here."""
    steps = [buy("1", "268.1"), buy("1", "612.45"), sell("3", "3000")]
    found = CostBasisFold("RLUSD", METHODS["fifo"]).run(standing_order(log_of(steps)))
    assert total(each.cost for each in found.disposals if each.cost is not None) == D("880.55")
    assert found.realised == D("1119.45")
    assert [(lot.quantity, lot.cost) for lot in found.open_lots()] == [(D(-1), D(-1000))]


# ---- beancount 3.2.3: the lots that are left, by the number of the purchase, and the gain of each sale


TRADES = [(10, 1), (10, 3), (10, 2), (-15, 4), (5, 5), (-12, 6)]


@pytest.mark.parametrize(
    ("method", "left", "gained"),
    [
        ("fifo", [(3, "3", "6"), (5, "5", "25")], ["35", "43"]),
        ("lifo", [(1, "8", "8")], ["25", "30"]),
        ("hifo", [(1, "8", "8")], ["20", "35"]),
    ],
)
def test_beancount_booking(method: str, left: list[tuple[int, str, str]], gained: list[str]) -> None:
    steps = [(buy if size > 0 else sell)(str(abs(size)), str(abs(size) * price)) for size, price in TRADES]
    found = CostBasisFold("RLUSD", METHODS[method]).run(standing_order(log_of(steps)))
    lots = [(lot.origin.version - 1, lot.quantity, lot.cost) for lot in found.open_lots()]
    assert lots == [(number, D(quantity), D(cost)) for number, quantity, cost in left]
    by_sale: dict[int, Decimal] = {}
    for each in found.disposals:
        assert each.gain is not None
        by_sale[each.closed.version] = by_sale.get(each.closed.version, D(0)) + each.gain
    assert list(by_sale.values()) == [D(gain) for gain in gained]
