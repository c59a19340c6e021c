"""Profit and loss: what is not known is None and is said to be, never 0."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.basis import Basis
from projections.engine_state import EngineState
from projections.fees import Fees
from projections.inventory import Holding, Inventory
from projections.marks import Price
from projections.pnl import Pnl, change, pnl, total_value
from projections.state import EMPTY, BookState
from tests.support import START


def state(
    balances: dict[str, str], *, starting_value: str = "0", net_basis: str = "0", unknown_bases: int = 0, **basis: Any
) -> BookState:
    """A state with these balances, held as fills."""
    return BookState(
        version=7,
        inventory=Inventory({asset: Holding(fills=Decimal(amount)) for asset, amount in balances.items()}),
        basis=Basis(net_basis=Decimal(net_basis), unknown_bases=unknown_bases, **basis),
        engine_state=EngineState(Decimal(starting_value)),
    )


def prices(**by_asset: str) -> dict[str, Price]:
    """Prices of assets."""
    return {asset: Price(Decimal(price), "test", START) for asset, price in by_asset.items()}


def test_the_first_users_figures() -> None:
    """187.284078 committed, 0.87218111 of it profit, as in the demo."""
    figures = pnl(
        state({"XRP": "39.27", "RLUSD": "135.872181"}, starting_value="187.284078", net_basis="187.284078"),
        prices(XRP="1.3314"),
        "RLUSD",
    )
    assert figures.total_value == Decimal("188.156259")
    assert figures.total_pnl == figures.trading_value == Decimal("0.872181")
    assert figures.retained_profit == Decimal("0.872181")
    assert figures.missing_marks == ()
    assert figures.marks == prices(XRP="1.3314")


@pytest.mark.parametrize(
    ("balances", "known", "missing"),
    [
        ({}, {}, ()),
        ({"RLUSD": "1"}, {}, ()),  # the numeraire needs no mark
        ({"XRP": "1"}, {"XRP": "1"}, ()),
        ({"XRP": "0"}, {}, ()),  # nothing is held
        ({"XRP": "1"}, {}, ("XRP",)),
        ({"XRP": "-1"}, {}, ("XRP",)),  # what is owed needs a mark, too
        ({"XRP": "1", "ETH": "1", "RLUSD": "1"}, {"ETH": "1"}, ("XRP",)),
        ({"b": "1", "a": "1", "B": "1"}, {}, ("B", "a", "b")),
        ({"XRP": "1e-18"}, {}, ("XRP",)),  # worth nothing at most prices, but nobody said so
    ],
)
def test_what_needs_a_missing_mark_is_unknown_and_the_mark_is_named(
    balances: dict[str, str], known: dict[str, str], missing: tuple[str, ...]
) -> None:
    figures = pnl(state(balances), prices(**known), "RLUSD")
    assert figures.missing_marks == missing
    for figure in (figures.total_value, figures.total_pnl, figures.trading_value, figures.retained_profit):
        assert (figure is None) is bool(missing)


def test_what_needs_no_mark_is_known_without_one() -> None:
    made = state({"XRP": "1"}, starting_value="5", net_basis="6")
    basis = replace(made.basis, net_deposits=Decimal(7), withdrawn_profit=Decimal(8))
    made = replace(made, basis=basis, fees=Fees({"XRP": Decimal("0.1")}, 3))
    figures = pnl(made, {}, "RLUSD")
    known = [figures.starting_value, figures.net_basis, figures.net_deposits, figures.withdrawn_profit]
    assert known == [5, 6, 7, 8]
    assert figures.unknown_fees == 3
    assert figures.fees == {"XRP": Decimal("0.1")}


def test_retained_profit_is_unknown_while_a_basis_is() -> None:
    known = state({"RLUSD": "10"}, net_basis="4")
    assert pnl(known, {}, "RLUSD").retained_profit == 6
    unknown = state({"RLUSD": "10"}, net_basis="4", unknown_bases=1)
    assert pnl(unknown, {}, "RLUSD").retained_profit is None
    assert pnl(unknown, {}, "RLUSD").total_pnl == 10
    committed = state({"RLUSD": "10"}, net_basis="4", unknown_bases=1, initial_basis_version=3)
    assert pnl(committed, {}, "RLUSD").retained_profit == 6


def test_a_price_of_the_numeraire_is_not_used() -> None:
    figures = pnl(state({"RLUSD": "10"}), prices(RLUSD="2"), "RLUSD")
    assert figures.total_value == 10
    assert figures.marks == {}


def test_only_the_marks_of_what_is_held_are_shown() -> None:
    figures = pnl(state({"XRP": "1", "ETH": "0"}), prices(XRP="1", ETH="2", BTC="3"), "RLUSD")
    assert figures.marks == prices(XRP="1")


def test_the_value_of_an_empty_book_is_0_and_not_unknown() -> None:
    assert pnl(EMPTY, {}, "RLUSD").total_value == 0


def test_each_value_is_rounded_once_and_before_they_are_added() -> None:
    """Two halves of the last decimal: rounded each to even 0, their sum would be 1."""
    held = state({"A": "0.000000000000000001", "B": "0.000000000000000001"}).inventory
    assert total_value(held, prices(A="0.5", B="0.5"), "RLUSD") == 0


def test_a_balance_is_valued_whole_not_part_by_part() -> None:
    """Its parts at 0.5 would round to 0 each."""
    inventory = Inventory({"A": Holding(Decimal("1e-18"), Decimal("1e-18"), Decimal("1e-18"))})
    assert total_value(inventory, prices(A="0.5"), "RLUSD") == Decimal("2e-18")


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_total_pnl_is_total_value_less_starting_value(
    balance: int, price: int, starting_value: int, basis: int
) -> None:
    figures = pnl(
        state({"XRP": str(balance)}, starting_value=str(starting_value), net_basis=str(basis)),
        prices(XRP=str(price)),
        "RLUSD",
    )
    assert figures.total_value == balance * price
    assert figures.total_pnl == balance * price - starting_value
    assert figures.retained_profit == balance * price - basis


# ---- periods

_START = Pnl(
    total_value=Decimal(10),
    net_deposits=Decimal(1),
    net_basis=Decimal(2),
    starting_value=Decimal(3),
    total_pnl=Decimal(7),
    retained_profit=Decimal(8),
    withdrawn_profit=Decimal(4),
    missing_marks=(),
    unknown_fees=1,
    fees={"XRP": Decimal(1), "BNB": Decimal(5)},
    marks=prices(XRP="1"),
    transferred_profit=Decimal(5),
)
_END = Pnl(
    total_value=Decimal(30),
    net_deposits=Decimal(21),
    net_basis=Decimal(23),
    starting_value=Decimal(25),
    total_pnl=Decimal(5),
    retained_profit=Decimal(36),
    withdrawn_profit=Decimal(31),
    missing_marks=(),
    unknown_fees=4,
    fees={"XRP": Decimal(4), "ETH": Decimal(2)},
    marks=prices(XRP="2"),
    transferred_profit=Decimal(40),
)


def test_a_change_is_the_end_less_the_start_figure_by_figure() -> None:
    changed = change(_START, _END)
    found = {field.name: getattr(changed, field.name) for field in fields(Pnl)}
    assert found == {
        "total_value": 20,
        "net_deposits": 20,
        "net_basis": 21,
        "starting_value": 22,
        "total_pnl": -2,
        "retained_profit": 28,
        "withdrawn_profit": 27,
        "transferred_profit": 35,
        "missing_marks": (),
        "unknown_fees": 3,
        "fees": {"XRP": 3, "BNB": -5, "ETH": 2},
        "marks": {},
    }


@pytest.mark.parametrize("figure", ["total_value", "total_pnl", "retained_profit"])
def test_a_change_is_unknown_when_an_end_is(figure: str) -> None:
    unknown: dict[str, Any] = {figure: None}
    for start, end in ((replace(_START, **unknown), _END), (_START, replace(_END, **unknown))):
        assert getattr(change(start, end), figure) is None


def test_a_change_names_the_marks_that_either_end_misses() -> None:
    start, end = replace(_START, missing_marks=("b", "a")), replace(_END, missing_marks=("c", "a"))
    assert change(start, end).missing_marks == ("a", "b", "c")
