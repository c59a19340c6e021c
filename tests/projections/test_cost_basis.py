"""Cost basis: the identity holds for any log, every method picks the lots that it should, and unknown never becomes 0."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import total
from projections.cost_basis import CostBasisFold, standing_order
from projections.cost_figures import CostBasis
from projections.lots import METHODS
from projections.marks import Selection
from projections.pnl import pnl
from projections.state import fold
from tests.projections.in_memory import log_of

Fields = dict[str, Any]
D = Decimal


def buy(base: str, quote: str, **more: Any) -> Fields:
    return {
        "type": "fill",
        "side": "buy",
        "base_asset": "XRP",
        "base_amount": base,
        "quote_asset": "RLUSD",
        "quote_amount": quote,
        **more,
    }


def sell(base: str, quote: str, **more: Any) -> Fields:
    return buy(base, quote) | {"side": "sell", **more}


def mark(price: str, asset: str = "XRP", **more: Any) -> Fields:
    return {"type": "mark", "asset": asset, "price": price, **more}


def adjustment(asset: str, amount: str, reason: str, **more: Any) -> Fields:
    return {"type": "adjustment", "asset": asset, "amount": amount, "reason": reason, **more}


def basis(steps: list[Fields], method: str = "fifo", *, fees_in_cost: bool = False) -> CostBasis:
    fold_ = CostBasisFold("RLUSD", METHODS[method], fees_in_cost=fees_in_cost)
    return fold_.run(standing_order(log_of(steps)))


def open_lots(found: CostBasis) -> list[tuple[str, Decimal, Decimal | None]]:
    return [(lot.asset, lot.quantity, lot.cost) for lot in found.open_lots()]


def gains(found: CostBasis) -> list[tuple[Decimal, Decimal | None, Decimal | None, Decimal | None]]:
    return [(each.quantity, each.proceeds, each.cost, each.gain) for each in found.disposals]


THREE = [buy("10", "10"), buy("10", "30"), buy("10", "20")]


@pytest.mark.parametrize(
    ("method", "cost", "left"),
    [
        ("fifo", "25", [(D(5), D(15)), (D(10), D(20))]),
        ("lifo", "35", [(D(10), D(10)), (D(5), D(15))]),
        ("hifo", "40", [(D(10), D(10)), (D(5), D(10))]),
        ("lofo", "20", [(D(10), D(30)), (D(5), D(10))]),
        ("average", "30", [(D(15), D(30))]),
    ],
)
def test_a_method_closes_the_lots_that_it_says(method: str, cost: str, left: list[tuple[Decimal, Decimal]]) -> None:
    found = basis([*THREE, sell("15", "60")], method)
    assert total(each.cost for each in found.disposals if each.cost is not None) == D(cost)
    assert found.realised == D(60) - D(cost)
    assert [(lot.quantity, lot.cost) for lot in found.open_lots()] == left


@pytest.mark.parametrize("fees_in_cost", [False, True])
@pytest.mark.parametrize(("method", "opened"), [("hifo", 2), ("lofo", 3)])
def test_which_lots_are_closed_does_not_depend_on_the_view_of_fees(
    method: str, opened: int, *, fees_in_cost: bool
) -> None:
    """10 at 2.00, and 10 at 1.99 with a fee that makes them cost more: the price decides, as in rp2."""
    steps = [
        buy("10", "20", fee_asset="RLUSD", fee_amount="0"),
        buy("10", "19.9", fee_asset="RLUSD", fee_amount="5"),
        sell("10", "40"),
    ]
    found = basis(steps, method, fees_in_cost=fees_in_cost)
    assert [each.opened.version for each in found.disposals] == [opened]


def test_short_lots_go_by_the_price_of_their_sale_without_its_fee() -> None:
    """Sold at 2.00, and at 2.01 with a fee that leaves less: the first one brought least, so HIFO closes it."""
    fee = {"fee_asset": "RLUSD", "fee_amount": "5"}
    steps = [sell("10", "20"), sell("10", "20.1", **fee), buy("10", "10")]
    found = basis(steps, "hifo", fees_in_cost=True)
    assert [(each.opened.version, each.gain) for each in found.disposals] == [(2, D(10))]


def test_a_part_takes_its_share_half_even_and_the_rest_stays() -> None:
    found = basis([buy("3", "1"), sell("1", "1"), sell("1", "1"), sell("1", "1")])
    costs = [each.cost for each in found.disposals]
    assert costs == [D("0.333333333333333333"), D("0.333333333333333334"), D("0.333333333333333333")]
    assert found.realised == D(2)


def test_a_short_lot_is_closed_by_a_purchase_and_a_flip_splits_it() -> None:
    found = basis([sell("10", "20"), buy("15", "15")])
    assert gains(found) == [(D(10), D(20), D(10), D(10))]
    assert found.disposals[0].is_short
    assert open_lots(found) == [("XRP", D(5), D(5))]


def test_what_is_recorded_late_takes_its_place_in_time() -> None:
    """FIFO by `at`: the purchase that was recorded last happened first."""
    found = basis([buy("10", "20", hours=5), sell("10", "40", hours=6), buy("10", "10", hours=1)])
    assert gains(found) == [(D(10), D(40), D(10), D(30))]
    assert found.disposals[0].opened.version == 4


def test_a_reversed_event_never_was() -> None:
    found = basis([buy("10", "10"), buy("10", "30"), {"type": "reversal", "reverses": 2}, sell("10", "40")])
    assert gains(found) == [(D(10), D(40), D(30), D(10))]


def test_deposits_open_lots_and_withdrawals_close_them_at_their_own_prices() -> None:
    found = basis(
        [
            {"type": "deposit", "asset": "XRP", "amount": "10", "price": "1"},
            {"type": "withdrawal", "asset": "XRP", "amount": "4", "price": "1.5", "basis_delta": "-4"},
            mark("1.10"),
        ]
    )
    assert gains(found) == [(D(4), D(6), D(4), D(2))]
    assert found.unrealised({"XRP": D("1.10")}) == D("0.60")


def test_a_fee_in_kind_takes_lots_at_their_cost_and_no_gain_is_realised() -> None:
    found = basis([buy("10", "10"), buy("10", "20", fee_asset="XRP", fee_amount="1")])
    assert (found.fees.whole, found.realised) == (D(1), D(0))
    assert open_lots(found) == [("XRP", D(9), D(9)), ("XRP", D(10), D(20))]


def test_a_fee_in_kind_is_a_disposal_at_the_fills_price_in_the_accountants_view() -> None:
    found = basis([buy("10", "10"), buy("10", "20", fee_asset="XRP", fee_amount="1")], fees_in_cost=True)
    assert (found.fees.whole, found.realised) == (D(2), D(1))
    assert gains(found) == [(D(1), D(2), D(1), D(1))]


def test_a_fee_in_the_numeraire_is_in_cost_and_in_proceeds_in_the_accountants_view() -> None:
    steps = [
        buy("10", "10", fee_asset="RLUSD", fee_amount="0.5"),
        sell("10", "20", fee_asset="RLUSD", fee_amount="0.25"),
    ]
    found = basis(steps, fees_in_cost=True)
    assert gains(found) == [(D(10), D("19.75"), D("10.5"), D("9.25"))]
    assert found.fees.whole == 0
    apart = basis(steps)
    assert gains(apart) == [(D(10), D(20), D(10), D(10))]
    assert apart.fees.whole == D("0.75")


def test_a_rebate_in_kind_opens_a_lot_at_the_fills_price() -> None:
    found = basis([buy("10", "20", fee_asset="XRP", fee_amount="-1")])
    assert (found.fees.whole, open_lots(found)) == (D(-2), [("XRP", D(10), D(20)), ("XRP", D(1), D(2))])


def test_a_fee_in_a_third_asset_that_is_not_held_opens_a_short_lot_at_its_mark() -> None:
    found = basis([mark("300", "BNB"), buy("10", "20", fee_asset="BNB", fee_amount="0.01")])
    assert (found.fees.whole, open_lots(found)) == (D(3), [("BNB", D("-0.01"), D(-3)), ("XRP", D(10), D(20))])


def test_a_fill_between_two_assets_is_valued_by_the_quote_at_its_mark_else_by_the_base() -> None:
    swap = {"type": "fill", "side": "buy", "base_asset": "BTC", "base_amount": "1", "quote_asset": "XRP"}
    by_quote = basis([mark("2"), mark("50000", "BTC"), {**swap, "quote_amount": "20000"}])
    assert [(lot.asset, lot.cost) for lot in by_quote.open_lots()] == [("BTC", D(40000)), ("XRP", D(-40000))]
    by_base = basis([mark("50000", "BTC"), {**swap, "quote_amount": "20000"}])
    assert [(lot.asset, lot.cost) for lot in by_base.open_lots()] == [("BTC", D(50000)), ("XRP", D(-50000))]
    unknown = basis([{**swap, "quote_amount": "20000"}])
    assert [lot.cost for lot in unknown.open_lots()] == [None, None]


def test_what_hangs_on_an_unknown_cost_is_unknown_and_never_0() -> None:
    steps = [adjustment("XRP", "10", "opening"), sell("4", "8")]
    found = basis(steps)
    assert gains(found) == [(D(4), D(8), None, None)]
    assert (found.realised, found.unrealised({"XRP": D(1)}), found.other_income) == (None, None, None)
    known = basis([*steps, mark("1", hours=0)])
    assert (known.realised, known.other_income) == (D(4), D(10))


def test_a_mark_of_the_same_time_counts() -> None:
    found = basis([adjustment("XRP", "10", "reward", hours=3), mark("2", hours=3)])
    assert found.income["reward"].whole == D(20)


@pytest.mark.parametrize("method", METHODS)
def test_unknown_lots_come_last_where_the_cost_decides(method: str) -> None:
    found = basis([adjustment("XRP", "10", "opening"), buy("10", "10"), sell("10", "20")], method)
    is_known = {"fifo": False, "average": False, "lifo": True, "hifo": True, "lofo": True}[method]
    assert (found.realised is not None) == is_known


def exchange(hours: int, reason: str = "liquidity", group: str = "G", **amounts: str) -> list[Fields]:
    """Adjustments of one moment and one group."""
    return [adjustment(asset, amount, reason, group=group, hours=hours) for asset, amount in amounts.items()]


def test_what_comes_into_a_group_takes_over_the_cost_of_what_went_out() -> None:
    """Into a pool and out again: 10 XRP that cost 20 and 30 RLUSD become LP tokens of 50, half of which brings back 25."""
    into = [buy("10", "20", hours=1), *exchange(3, XRP="-10", RLUSD="-30", LP="100")]
    found = basis(into)
    assert open_lots(found) == [("LP", D(100), D(50))]
    assert (found.realised, found.other_income) == (D(0), D(0))
    out = [*into, mark("2", hours=4), *exchange(5, group="H", LP="-50", XRP="5", RLUSD="20")]
    after = basis(out)
    # The 25 are divided by value: 10 for the XRP, 20 for the RLUSD, whose share was 16.67 and is worth 20.
    assert open_lots(after) == [("LP", D(50), D(25)), ("XRP", D(5), D("8.333333333333333333"))]
    assert after.other_income == D("3.333333333333333333")


def test_what_has_gone_out_of_a_group_waits_for_what_comes_in_later() -> None:
    steps = [buy("10", "20", hours=1), *exchange(2, "conversion", XRP="-10"), *exchange(9, "conversion", SXRP="10")]
    assert basis(steps[:-1]).other_income == D(-20)
    found = basis(steps)
    assert (open_lots(found), found.other_income) == ([("SXRP", D(10), D(20))], D(0))


def test_without_a_mark_the_shares_of_a_group_are_unknown() -> None:
    found = basis([buy("10", "20", hours=1), *exchange(3, XRP="-10", A="1", B="1")])
    assert [lot.cost for lot in found.open_lots()] == [None, None]
    assert found.other_income is None


def test_why_a_cost_is_unknown_passes_on_within_a_group() -> None:
    """An opening without a price goes into a pool: a price of the LP tokens would not help."""
    opening = adjustment("XRP", "10", "opening", hours=1)
    (lot,) = basis([opening, *exchange(3, XRP="-10", LP="100")]).open_lots()
    assert lot.unpriced is not None
    assert (lot.asset, lot.unpriced.asset, lot.unpriced.origin.version) == ("LP", "XRP", 2)
    (known,) = basis([mark("2", hours=1), opening, *exchange(3, XRP="-10", LP="100")]).open_lots()
    assert (known.cost, known.unpriced) == (D(20), None)


def test_of_what_comes_into_a_group_each_needs_a_price() -> None:
    steps = [buy("10", "20", hours=1), mark("1", "A", hours=2), *exchange(3, XRP="-10", A="1", B="1")]
    found = list(basis(steps).open_lots())
    assert [(lot.cost, lot.unpriced and lot.unpriced.asset) for lot in found] == [(None, "B"), (None, "B")]
    sold = [*steps, sell("1", "5", base_asset="A", hours=4)]
    (gain,) = basis(sold).disposals
    assert (gain.gain, gain.unpriced and gain.unpriced.asset) == (None, "B")


# ---- the identity


ASSETS = ("XRP", "BTC", "RLUSD")
AMOUNTS = st.decimals(min_value=D("0.000001"), max_value=D(1000), places=6).map(lambda amount: f"{amount:f}")
FEE = st.sampled_from(["none", "unknown", "paid", "rebate"])


@st.composite
def steps_(draw: st.DrawFn) -> Fields:
    kind = draw(
        st.sampled_from(["fill"] * 4 + ["deposit", "withdrawal", "adjustment", "adjustment", "mark", "baseline"])
    )
    asset = draw(st.sampled_from(ASSETS))
    hours = {"hours": draw(st.integers(1, 40))}
    price = {} if asset == "RLUSD" else {"price": draw(AMOUNTS)}
    match kind:
        case "fill":
            base, quote = draw(st.permutations(ASSETS))[:2]
            made = buy(draw(AMOUNTS), draw(AMOUNTS), base_asset=base, quote_asset=quote)
            made["side"] = draw(st.sampled_from(["buy", "sell"]))
            how = draw(FEE)
            if how != "unknown":
                made["fee_asset"] = draw(st.sampled_from(ASSETS))
                made["fee_amount"] = {"none": "0", "paid": draw(AMOUNTS), "rebate": f"-{draw(AMOUNTS)}"}[how]
            return made | hours
        case "deposit":
            return {"type": "deposit", "asset": asset, "amount": draw(AMOUNTS), **price, **hours}
        case "withdrawal":
            given_ = {"asset": asset, "amount": draw(AMOUNTS), "basis_delta": "0"}
            return {"type": "withdrawal", **given_, **price, **hours}
        case "adjustment":
            sign = draw(st.sampled_from(["", "-"]))
            reason = draw(st.sampled_from(["fee", "network_fee", "reward", "opening", "liquidity", "conversion"]))
            group = {} if reason in ("fee", "reward") else {"group": draw(st.sampled_from(["G", "H"]))}
            return adjustment(asset, sign + draw(AMOUNTS), reason, **group, **hours)
        case "mark":
            return mark(draw(AMOUNTS), draw(st.sampled_from(ASSETS[:2])), **hours)
        case _:
            return {"type": "baseline", "starting_value": draw(AMOUNTS), **hours}


@st.composite
def logs(draw: st.DrawFn) -> list[Fields]:
    made: list[Fields] = [mark("2", hours=0), mark("30000", "BTC", hours=0)]
    reversed_: set[int] = set()
    for step in draw(st.lists(steps_(), max_size=25)):
        made.append(step)
        standing = [v for v in range(4, len(made) + 2) if v not in reversed_ and made[v - 2]["type"] != "reversal"]
        if standing and draw(st.integers(0, 9)) == 0:
            version = draw(st.sampled_from(standing))
            reversed_.add(version)
            made.append({"type": "reversal", "reverses": version})
    return made


@given(steps=logs())
def test_total_pnl_is_what_was_realised_and_all_else_that_is_named(steps: list[Fields]) -> None:
    log = log_of(steps)
    marks = frozenset(each.reverses for each in log if each.reverses and each.effects.effect_of == "mark")
    state = fold(log, standing=Selection(marks))
    figures = pnl(state, state.marks, "RLUSD")
    prices = {asset: price.price for asset, price in state.marks.items()}
    for method, fees_in_cost in product(METHODS, (False, True)):
        found = CostBasisFold("RLUSD", METHODS[method], fees_in_cost=fees_in_cost).run(standing_order(log))
        for asset, held in state.inventory.items():
            if asset != "RLUSD":
                assert total(lot.quantity for lot in found.open_lots() if lot.asset == asset) == held.total
        assert all(len({lot.quantity > 0 for lot in lots}) <= 1 for lots in found.lots.values()), "long and short"
        assert all(each.opened.at <= each.closed.at for each in found.disposals)
        assert all((lot.cost is None) == (lot.unpriced is not None) for lot in found.open_lots())
        assert all((each.gain is None) == (each.unpriced is not None) for each in found.disposals)
        earned = found.earned(prices)
        if earned is not None:  # else a mark was reversed, so that a cost is unknown
            assert earned == figures.total_pnl, (method, fees_in_cost)


# ---- a naive referee: a list of units


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 6), st.integers(1, 50)), max_size=15),
    st.sampled_from(["fifo", "lifo", "hifo", "lofo"]),
)
def test_whole_units_are_closed_as_a_list_of_units_closes_them(
    trades: list[tuple[bool, int, int]], method: str
) -> None:
    """Each unit is a lot of its own in a list, and the next one is looked for by going over all of them."""
    units: list[tuple[int, Fraction, bool]] = []  # when, at what price, whether it is short
    gained: defaultdict[int, Fraction] = defaultdict(Fraction)
    for number, (is_buy, count, price) in enumerate(trades):
        for _ in range(count):
            if not units or units[0][2] == (not is_buy):
                units.append((number, Fraction(price), not is_buy))
                continue
            sign = -1 if is_buy else 1
            chosen = {
                "fifo": lambda unit, sign=sign: unit[0],
                "lifo": lambda unit, sign=sign: -unit[0],
                "hifo": lambda unit, sign=sign: (-sign * unit[1], unit[0]),
                "lofo": lambda unit, sign=sign: (sign * unit[1], unit[0]),
            }[method]
            unit = min(units, key=chosen)
            units.remove(unit)
            gained[number] += sign * (price - unit[1])
    found = basis(
        [(buy if is_buy else sell)(str(count), str(count * price)) for is_buy, count, price in trades], method
    )
    by_event: defaultdict[int, Decimal] = defaultdict(Decimal)
    for each in found.disposals:
        assert each.gain is not None
        by_event[each.closed.version - 2] += each.gain
    assert by_event == dict(gained)
