"""The exposure gate and its trace: the figures of the trace are what the gate does."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.paper import exposure
from engine.paper.exposure import Variable, quote_may_stand, trace
from engine.paper.quoting import Quoter
from tests.engine.paper.paper_support import strategy

SMALLEST = Decimal("1e-18")
sizes = st.decimals(min_value=SMALLEST, max_value=10**6, places=18)
limits = st.decimals(min_value=0, max_value=10**6, places=18)
balances = st.decimals(min_value=-(10**6), max_value=10**6, places=18)


def test_the_worked_example() -> None:
    found = trace(Decimal("97.6"), Decimal("15"), Decimal("120"))
    assert (found.threshold, found.headroom, found.fits, found.fills_left) == (
        Decimal(105),
        Decimal("22.4"),
        True,
        1,
    )
    assert (found.module, found.function, found.side) == ("engine.paper.exposure", "quote_may_stand", "ask")
    assert found.variables == (
        Variable("balance", Decimal("97.6")),
        Variable("size", Decimal("15")),
        Variable("limit", Decimal("120")),
    )


def test_after_the_fill_that_fits_the_side_is_gated() -> None:
    found = trace(Decimal("112.6"), Decimal("15"), Decimal("120"))
    assert (found.headroom, found.fits, found.fills_left) == (Decimal("7.4"), False, 0)


def test_above_the_limit_there_is_no_headroom() -> None:
    found = trace(Decimal("150"), Decimal("15"), Decimal("120"))
    assert (found.headroom, found.fits, found.fills_left) == (Decimal(-30), False, 0)


@given(sizes, limits)
def test_the_threshold_is_where_the_gate_flips(size: Decimal, limit: Decimal) -> None:
    threshold = trace(Decimal(0), size, limit).threshold
    assert quote_may_stand(threshold, size, limit)
    assert not quote_may_stand(threshold + SMALLEST, size, limit)


@given(balances, sizes, limits)
def test_what_is_traced_is_what_the_gate_says(balance: Decimal, size: Decimal, limit: Decimal) -> None:
    found = trace(balance, size, limit)
    assert found.fits == quote_may_stand(balance, size, limit) == (balance <= found.threshold)
    assert found.balance + found.headroom == limit


@given(balances, st.decimals(min_value=10**4, max_value=10**6, places=18), limits)
def test_as_many_fills_fit_as_the_gate_lets_through(balance: Decimal, size: Decimal, limit: Decimal) -> None:
    fills = 0
    found = trace(balance, size, limit).fills_left
    while quote_may_stand(balance, size, limit):
        balance += size
        fills += 1
    assert found == fills


def test_amounts_of_any_size_are_traced_exactly() -> None:
    """Python's own decimal context would round the one and refuse to divide the other."""
    balance, limit = (
        Decimal("99999999999999999999.000000000000000001"),
        Decimal("99999999999999999999.000000000000000002"),
    )
    found = trace(balance, SMALLEST, limit)
    assert (found.headroom, found.threshold, found.fills_left) == (SMALLEST, balance, 1)
    below = trace(balance.copy_negate(), SMALLEST, limit)
    assert below.fills_left == 99999999999999999999_000000000000000001 + 99999999999999999999_000000000000000002


def test_another_gate_is_traced_as_what_it_is() -> None:
    """Module and function are found from the function that is given, and it is the one that is asked."""

    def never(held: Decimal, wanted: Decimal, most: Decimal) -> bool:
        return False

    found = trace(Decimal(0), Decimal(15), Decimal(120), gate=never)
    assert (found.module, found.function) == (__name__, never.__qualname__)
    assert [variable.name for variable in found.variables] == ["held", "wanted", "most"]
    assert not found.fits


def test_the_session_asks_the_gate_that_is_traced() -> None:
    assert Quoter(strategy()).gate is exposure.quote_may_stand
