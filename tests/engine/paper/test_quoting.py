"""The anchor and the quoting decision: worked examples, each reason for no quote, and what can never happen."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.paper.anchor import Anchor, Observation, observations
from engine.paper.exposure import trace
from engine.paper.quoting import Balances, Intents, Quote, Quoter, Reason, TradedLots, settle
from engine.paper.tape import Tick
from tests.engine.paper.paper_support import TAPE_START, strategy

PLENTY = Balances(Decimal(1000), Decimal(100))
MICRO = Decimal("1e-6")
ATTO = Decimal("1e-18")


def tick(price: str | Decimal, size: str | None = "1000000", seconds: int = 0, row: int = 2) -> Tick:
    """A trade."""
    amount = Decimal(price)
    return Tick(
        row, TAPE_START + timedelta(seconds=seconds), amount, amount, amount, None if size is None else Decimal(size)
    )


def market(price: str | Decimal, anchor: str | Decimal | None = None) -> Observation:
    """A market whose anchor is the price itself, or another one."""
    return Observation(tick(price), Decimal(price if anchor is None else anchor), is_mark=False)


def intents(price: str = "1.33", balances: Balances = PLENTY, anchor: str | None = None, **settings: str) -> Intents:
    """What is quoted at a price."""
    return Quoter(strategy(half_spread_bps="10", **settings)).intents(market(price, anchor), balances)


def quote(side: Quote | Reason) -> Quote:
    """The side's quote, which must be there."""
    assert isinstance(side, Quote), side
    return side


# ---- the anchor


def test_the_anchor_is_weighted_by_volume() -> None:
    anchor = Anchor(timedelta(seconds=300))
    assert anchor.add(tick("1", "30")) == 1
    assert anchor.add(tick("2", "10")) == Decimal("1.25")


def test_without_volumes_the_anchor_is_the_plain_average() -> None:
    for size in (None, "0"):
        anchor = Anchor(timedelta(seconds=300))
        anchor.add(tick("1", size))
        anchor.add(tick("1", size))
        assert anchor.add(tick("2", size)) == Decimal("1.333333333333333333")


def test_a_tick_as_old_as_the_window_has_left_it() -> None:
    anchor = Anchor(timedelta(seconds=300))
    anchor.add(tick("1", seconds=0))
    assert anchor.add(tick("3", seconds=299)) == 2
    assert anchor.add(tick("3", seconds=300)) == 3


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 10**22), st.integers(0, 10**22)), min_size=1, max_size=60),
    st.integers(1, 200),
    st.booleans(),
)
def test_the_anchor_is_what_a_naive_sum_gives(rows: list[tuple[int, int, int]], window: int, has_sizes: bool) -> None:
    """Recomputed from all rows each time, in fractions; the running sums must not drift."""
    anchor, now = Anchor(timedelta(seconds=window)), 0
    seen: list[tuple[int, Fraction, Fraction]] = []
    for step, price, size in rows:
        now += step
        exact = Decimal(price).scaleb(-18), Decimal(size).scaleb(-12)
        found = anchor.add(tick(exact[0], str(exact[1]) if has_sizes else None, now))
        seen.append((now, Fraction(exact[0]), Fraction(exact[1]) if has_sizes else Fraction(0)))
        recent = [(price_then, size_then) for at, price_then, size_then in seen if now - at < window]
        if not any(size_then for _, size_then in recent):
            recent = [(price_then, Fraction(1)) for price_then, _ in recent]
        average = Fraction(sum(p * s for p, s in recent), sum(s for _, s in recent))
        assert abs(Fraction(found) - average) <= Fraction(1, 2 * 10**18)


def test_marks_are_the_first_row_one_an_interval_and_the_last() -> None:
    ticks = [tick("1", seconds=seconds, row=row) for row, seconds in enumerate((0, 50, 99, 100, 101, 350, 450, 460), 2)]
    seen = observations(ticks, window=timedelta(seconds=1), mark_interval=timedelta(seconds=100), last_row=9)
    assert [each.tick.row for each in seen if each.is_mark] == [2, 5, 7, 8, 9]


# ---- the quotes


def test_the_worked_example() -> None:
    found = intents()
    bid, ask = quote(found.bid), quote(found.ask)
    assert (bid.price, bid.base_amount, bid.quote_amount) == (
        Decimal("1.32867"),
        Decimal("11.289484"),
        Decimal("15.00") - Decimal("0.00000129372"),
    )
    assert (ask.price, ask.base_amount) == (Decimal("1.33133"), Decimal("11.266928"))
    assert found.is_complete
    assert found.quotes == [bid, ask]


prices = st.decimals(min_value="0.000001", max_value="1000000", places=10)


@given(prices, st.decimals(min_value="0.01", max_value="1000", places=6))
def test_the_base_amount_is_the_most_that_the_size_pays_for(price: Decimal, size: Decimal) -> None:
    """Rounded down: one unit more would cost more than the size."""
    plan = strategy(base_size_rlusd=size, max_rlusd_exposure="1e9", half_spread_bps="3.7")
    found = Quoter(plan).intents(market(price), Balances(Decimal("1e12"), Decimal("1e6")))
    for side in (found.bid, found.ask):
        if side is Reason.SIZE_TOO_SMALL:
            assert Fraction(price) * Fraction(MICRO) * Fraction(10004, 10000) > Fraction(size)
            continue
        made = quote(side)
        assert Fraction(made.base_amount) * Fraction(made.price) <= Fraction(size)
        assert Fraction(made.base_amount + MICRO) * Fraction(made.price) > Fraction(size)
        assert (
            abs(Fraction(made.quote_amount) - Fraction(made.base_amount) * Fraction(made.price)) <= Fraction(ATTO) / 2
        )


@pytest.mark.parametrize(
    ("mid", "stands"),
    [("1.00100", True), ("1.001000000000000001", False), ("0.999", True), ("0.998999999999999999", False)],
)
def test_no_quote_while_the_mid_is_further_from_the_anchor_than_allowed(mid: str, stands: bool) -> None:
    """10 bps of the anchor, 1: at the limit quotes stand."""
    found = intents(mid, anchor="1")
    assert found.is_complete is stands
    if not stands:
        assert (found.bid, found.ask) == (Reason.ANCHOR_DIVERGENCE, Reason.ANCHOR_DIVERGENCE)


def test_a_bid_must_be_paid_for_fee_included() -> None:
    cost = quote(intents().bid).quote_amount
    assert intents(balances=Balances(Decimal(1000), cost)).is_complete
    short = Balances(Decimal(1000), cost - ATTO)
    assert intents(balances=short).bid is Reason.QUOTE_BALANCE
    assert isinstance(intents(balances=short).ask, Quote)
    with_fee = cost + cost / 1000
    assert intents(balances=Balances(Decimal(1000), cost), maker_fee_bps="10").bid is Reason.QUOTE_BALANCE
    assert intents(balances=Balances(Decimal(1000), with_fee), maker_fee_bps="10").is_complete


def test_an_ask_must_be_there() -> None:
    base = quote(intents().ask).base_amount
    assert intents(balances=Balances(base, Decimal(100))).is_complete
    short = intents(balances=Balances(base - MICRO, Decimal(100)))
    assert (isinstance(short.bid, Quote), short.ask) == (True, Reason.BASE_BALANCE)


@given(st.decimals(min_value=0, max_value=200, places=18))
def test_the_ask_is_gated_exactly_above_the_traced_threshold(balance: Decimal) -> None:
    threshold = trace(balance, Decimal(15), Decimal(120)).threshold
    for at in (balance, threshold, threshold + ATTO):
        found = intents(balances=Balances(Decimal(1000), at))
        assert (found.ask is Reason.EXPOSURE_LIMIT) == (at > threshold)


def test_the_gate_is_for_the_side_that_raises_the_balance() -> None:
    found = intents(balances=Balances(Decimal(1000), Decimal(119)))
    assert (isinstance(found.bid, Quote), found.ask) == (True, Reason.EXPOSURE_LIMIT)


@pytest.mark.parametrize("size", ["0.000001", "1e-18"])
def test_a_size_that_is_no_amount_is_no_quote(size: str) -> None:
    assert intents(base_size_rlusd=size) == Intents(Reason.SIZE_TOO_SMALL, Reason.SIZE_TOO_SMALL)


# ---- the fills

QUOTER = Quoter(strategy(half_spread_bps="10", maker_fee_bps="2"))
BID = Quote("bid", Decimal("1.33"), Decimal("11.278195"), Decimal("14.99999935"))
ASK = Quote("ask", Decimal("1.33"), Decimal("11.278195"), Decimal("14.99999935"))


@pytest.mark.parametrize(
    ("made", "price", "is_filled"),
    [
        (BID, "1.329999999999999999", True),
        (BID, "1.33", False),  # at the price others may stand before us
        (BID, "1.34", False),
        (ASK, "1.330000000000000001", True),
        (ASK, "1.33", False),
        (ASK, "1.32", False),
    ],
)
def test_a_quote_is_filled_when_the_tape_trades_through_it(made: Quote, price: str, is_filled: bool) -> None:
    assert (QUOTER.trade(made, tick(price)) is not None) is is_filled


@pytest.mark.parametrize(
    ("made", "bid", "ask", "is_filled"),
    [
        (BID, "1.3280", "1.3299", True),
        (BID, "1.3280", "1.3300", False),  # the bid below ours is no sale
        (ASK, "1.3301", "1.3400", True),
        (ASK, "1.3300", "1.3400", False),
    ],
)
def test_in_a_book_the_other_side_must_pass_through(made: Quote, bid: str, ask: str, is_filled: bool) -> None:
    top = Tick(2, TAPE_START, Decimal("1.33"), sold_at=Decimal(ask), bought_at=Decimal(bid), size=None)
    traded = QUOTER.trade(made, top)
    assert (traded is not None) is is_filled
    if traded is not None:
        assert (traded.base_amount, traded.quote_amount) == (made.base_amount, made.quote_amount)


def test_a_fill_is_at_the_quotes_price_and_pays_the_fee() -> None:
    fee = Decimal("0.00299999987")
    assert QUOTER.trade(BID, tick("1.30")) == TradedLots("bid", BID.base_amount, BID.quote_amount, fee)


def test_a_fill_takes_no_more_than_the_tape_traded() -> None:
    """Rounded down to 6 decimals as every base amount is, and nothing when that is nothing."""
    traded = QUOTER.trade(ASK, tick("1.40", "3.5000009"))
    assert traded is not None
    assert (traded.base_amount, traded.quote_amount) == (Decimal("3.5"), Decimal("4.655"))
    for size in ("0", "0.0000009"):
        assert QUOTER.trade(ASK, tick("1.40", size)) is None
    exactly = QUOTER.trade(ASK, tick("1.40", "11.278195"))
    assert exactly is not None
    assert exactly.quote_amount == ASK.quote_amount


def test_a_fill_that_is_worth_nothing_is_none() -> None:
    cheap = Quote("ask", Decimal("1e-13"), Decimal(100), Decimal("1e-11"))
    assert QUOTER.trade(cheap, tick("2e-13", "0.000001")) is None


def test_settling_moves_both_balances_and_takes_the_fee_from_the_quote_asset() -> None:
    before = Balances(Decimal(100), Decimal(100))
    amounts = Decimal(10), Decimal(13)
    assert settle(before, TradedLots("bid", *amounts, Decimal("0.5"))) == Balances(Decimal(110), Decimal("86.5"))
    assert settle(before, TradedLots("ask", *amounts, Decimal("0.5"))) == Balances(Decimal(90), Decimal("112.5"))
    assert settle(before, TradedLots("ask", *amounts, Decimal("-0.5"))) == Balances(Decimal(90), Decimal("113.5"))


amounts = st.decimals(min_value=0, max_value=200, places=18)


@given(
    amounts,
    amounts,
    st.lists(st.tuples(st.integers(13_200, 13_400), st.integers(0, 20_000_000)), min_size=2, max_size=40),
    st.sampled_from(["0", "2.5", "9999.999999", "-1", "-9999"]),
)
def test_no_balance_ever_falls_below_nothing_or_beyond_the_limit(
    base: Decimal, quote_amount: Decimal, rows: list[tuple[int, int]], fee: str
) -> None:
    """Whatever the tape does, quote by quote; a rebate alone may lift the balance beyond the limit."""
    quoter = Quoter(strategy(half_spread_bps="5", maker_fee_bps=fee, anchor_max_divergence_bps="10000"))
    balances = Balances(base, quote_amount)
    quotes: list[Quote] = []
    for price, size in rows:
        now = tick(Decimal(price).scaleb(-4), str(Decimal(size).scaleb(-6)))
        for made in quotes:
            traded = quoter.trade(made, now)
            if traded is not None:
                before, balances = balances, settle(balances, traded)
                assert balances.base >= 0
                assert balances.quote >= 0
                if made.side == "ask" and not fee.startswith("-"):
                    assert balances.quote <= 120
                assert balances != before
        quotes = quoter.intents(Observation(now, now.mid, is_mark=False), balances).quotes
