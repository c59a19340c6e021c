"""Inventory: balances and their parts, as a table of effects."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.effects import Effects, Posting, negated
from projections.inventory import EMPTY, Holding, Inventory, apply


def posted(effect_of: str, *postings: tuple[str, str]) -> Effects:
    """Effects with postings by role: own, quote, fee."""
    own, quote, fee = [*(Posting(asset, Decimal(delta)) for asset, delta in postings), None, None, None][:3]
    return Effects(effect_of, own=own, quote=quote, fee=fee)


def holding(fills: str = "0", capital: str = "0", adjustments: str = "0") -> Holding:
    """A holding by its parts."""
    return Holding(Decimal(fills), Decimal(capital), Decimal(adjustments))


BUY = posted("fill", ("XRP", "10"), ("RLUSD", "-13.3"), ("XRP", "-0.01"))
DEPOSIT = posted("deposit", ("XRP", "5"))
WITHDRAWAL = posted("withdrawal", ("XRP", "-2"))
ADJUSTMENT = posted("adjustment", ("XRP", "-0.5"))


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([], {}),
        ([Effects("opened"), Effects("mark"), Effects("basis_commit"), Effects("baseline")], {}),
        ([DEPOSIT], {"XRP": holding(capital="5")}),
        ([WITHDRAWAL], {"XRP": holding(capital="-2")}),
        ([ADJUSTMENT], {"XRP": holding(adjustments="-0.5")}),
        ([BUY], {"XRP": holding(fills="9.99"), "RLUSD": holding(fills="-13.3")}),
        (
            [BUY, DEPOSIT, WITHDRAWAL, ADJUSTMENT],
            {"XRP": holding("9.99", "3", "-0.5"), "RLUSD": holding(fills="-13.3")},
        ),
        # A reversal moves the part that was moved; an asset that was ever moved stays, at 0.
        ([BUY, DEPOSIT, negated(BUY)], {"XRP": holding(capital="5"), "RLUSD": holding()}),
        ([DEPOSIT, negated(DEPOSIT)], {"XRP": holding()}),
        ([ADJUSTMENT, negated(ADJUSTMENT), WITHDRAWAL], {"XRP": holding(capital="-2")}),
        # A fee of 0 is a posting, too.
        (
            [posted("fill", ("XRP", "1"), ("RLUSD", "-1"), ("BNB", "0"))],
            {"XRP": holding("1"), "RLUSD": holding("-1"), "BNB": holding()},
        ),
    ],
)
def test_parts(effects: list[Effects], expected: dict[str, Holding]) -> None:
    inventory = EMPTY
    for one in effects:
        inventory = apply(inventory, one)
    assert dict(inventory) == expected


def test_a_balance_is_the_sum_of_its_parts() -> None:
    inventory = Inventory({"XRP": holding("1.5", "-0.25", "1e-18"), "BTC": holding("1", "-1", "0")})
    assert inventory.balance("XRP") == Decimal("1.250000000000000001")
    assert inventory["XRP"].total == inventory.balance("XRP")
    assert inventory.balance("BTC") == 0
    assert inventory.balance("ETH") == 0


def test_what_is_held_is_what_is_not_0_also_what_is_owed_sorted() -> None:
    parts = {"b": holding("1"), "a": holding("-1"), "c": holding("1", "-1"), "B": holding("0", "0", "1e-18")}
    assert Inventory(parts).held() == ["B", "a", "b"]


@pytest.mark.parametrize(
    ("holdings", "is_zero"),
    [
        ({}, True),
        ({"XRP": holding()}, True),
        ({"XRP": holding("1", "-1", "0")}, True),
        ({"XRP": holding("1e-18")}, False),
        ({"XRP": holding("1"), "BTC": holding("-1")}, False),
    ],
)
def test_is_zero(holdings: dict[str, Holding], is_zero: bool) -> None:
    assert Inventory(holdings).is_zero() is is_zero


def test_truth_testing_an_inventory_is_an_error() -> None:
    """`if inventory` would take an inventory of zeros for something and an empty one for nothing."""
    for inventory in (EMPTY, Inventory({"XRP": holding("1")})):
        with pytest.raises(TypeError, match="is_zero"):
            bool(inventory)


def test_applying_changes_nothing_in_place() -> None:
    given = {"XRP": holding("1")}
    before = Inventory(given)
    after = apply(before, DEPOSIT)
    assert (before["XRP"], after["XRP"]) == (holding("1"), holding("1", "5"))
    given["XRP"] = holding("7")
    assert before["XRP"] == holding("1")
    assert len(EMPTY) == 0


def test_a_sum_is_exact_beyond_28_digits() -> None:
    """The default decimal context keeps 28 digits and rounds without a word."""
    wide = Effects("deposit", own=Posting("XRP", Decimal("99999999999999999999.999999999999999999")))
    inventory = apply(apply(EMPTY, wide), wide)
    assert inventory.balance("XRP") == Decimal("199999999999999999999.999999999999999998")


def test_inventories_with_equal_holdings_are_equal() -> None:
    assert Inventory({"XRP": holding("1")}) == Inventory({"XRP": holding("1.0")})
    assert Inventory({"XRP": holding("1")}) != Inventory({"XRP": holding("0", "1")})
