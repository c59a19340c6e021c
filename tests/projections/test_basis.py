"""Basis: net basis and the figures that bridge it to net deposits, as a table of logs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, TransferRequest, reverse, transfer
from ledger.events import Opened, Reversal
from projections.basis import EMPTY, INITIAL_BASIS_KEY, Basis, bridge
from projections.state import fold
from tests.support import BOOK, event, log_of

Given = tuple[str, dict[str, Any]]


def basis(
    net_basis: str = "0",
    net_deposits: str = "0",
    withdrawn_profit: str = "0",
    basis_commits: str = "0",
    deposit_basis_excess: str = "0",
    unknown_bases: int = 0,
    initial_basis_version: int | None = None,
) -> Basis:
    """A basis from texts."""
    return Basis(
        net_basis=Decimal(net_basis),
        net_deposits=Decimal(net_deposits),
        withdrawn_profit=Decimal(withdrawn_profit),
        basis_commits=Decimal(basis_commits),
        deposit_basis_excess=Decimal(deposit_basis_excess),
        unknown_bases=unknown_bases,
        initial_basis_version=initial_basis_version,
    )


DEPOSIT: Given = ("deposit", {"asset": "RLUSD", "amount": "100"})
XRP: Given = ("deposit", {"asset": "XRP", "amount": "10", "price": "2"})
UNKNOWN: Given = ("deposit", {"asset": "XRP", "amount": "39.27", "price": "1.3314", "basis_unknown": True})
INITIAL: Given = ("basis_commit", {"basis_delta": "137.284078", "key": INITIAL_BASIS_KEY})

# The first of the events is version 2.
TABLE: list[tuple[list[Given], Basis]] = [
    ([], EMPTY),
    # what does not move the basis
    (
        [("fill", {"side": "buy", "base_asset": "X", "base_amount": "1", "quote_asset": "Y", "quote_amount": "2"})],
        EMPTY,
    ),
    ([("adjustment", {"asset": "RLUSD", "amount": "5", "reason": "reward"})], EMPTY),
    ([("baseline", {"starting_value": "5"})], EMPTY),
    ([("mark", {"asset": "XRP", "price": "5"})], EMPTY),
    ([("baseline", {"starting_value": "5"}), ("reversal", {"reverses": 2})], EMPTY),
    # deposits
    ([DEPOSIT], basis("100", "100")),
    ([DEPOSIT, XRP], basis("120", "120")),
    ([("deposit", {**XRP[1], "basis_delta": "25"})], basis("25", "20", deposit_basis_excess="5")),
    ([("deposit", {**XRP[1], "basis_delta": "-1"})], basis("-1", "20", deposit_basis_excess="-21")),
    ([("deposit", {**XRP[1], "basis_delta": "0"})], basis("0", "20", deposit_basis_excess="-20")),
    ([UNKNOWN], basis("0", "52.284078", deposit_basis_excess="-52.284078", unknown_bases=1)),
    ([UNKNOWN, UNKNOWN], basis("0", "104.568156", deposit_basis_excess="-104.568156", unknown_bases=2)),
    # withdrawals: of 60, so much is principal
    ([DEPOSIT, ("withdrawal", {"asset": "RLUSD", "amount": "60", "basis_delta": "-60"})], basis("40", "40")),
    ([DEPOSIT, ("withdrawal", {"asset": "RLUSD", "amount": "60", "basis_delta": "0"})], basis("100", "40", "60")),
    ([DEPOSIT, ("withdrawal", {"asset": "RLUSD", "amount": "60", "basis_delta": "-45"})], basis("55", "40", "15")),
    (  # taken as it is given, also when it takes more basis than value
        [("withdrawal", {"asset": "XRP", "amount": "10", "price": "2", "basis_delta": "-25"})],
        basis("-25", "-20", "-5"),
    ),
    # commits
    ([("basis_commit", {"basis_delta": "7"})], basis("7", basis_commits="7")),
    ([("basis_commit", {"basis_delta": "-7"})], basis("-7", basis_commits="-7")),
    ([("basis_commit", {"basis_delta": "0"})], EMPTY),
    ([INITIAL], basis("137.284078", basis_commits="137.284078", initial_basis_version=2)),
    (
        [("basis_commit", {"basis_delta": "1", "key": f"{INITIAL_BASIS_KEY}_not"})],
        basis("1", basis_commits="1"),
    ),
    ([("deposit", {**DEPOSIT[1], "key": INITIAL_BASIS_KEY})], basis("100", "100")),
    # reversals, each in the term of what it reverses
    ([DEPOSIT, ("reversal", {"reverses": 2})], EMPTY),
    ([("deposit", {**XRP[1], "basis_delta": "25"}), ("reversal", {"reverses": 2})], EMPTY),
    ([UNKNOWN, ("reversal", {"reverses": 2})], EMPTY),
    ([UNKNOWN, UNKNOWN, ("reversal", {"reverses": 2})], basis("0", "52.284078", "0", "0", "-52.284078", 1)),
    (
        [
            DEPOSIT,
            ("withdrawal", {"asset": "RLUSD", "amount": "60", "basis_delta": "-45"}),
            ("reversal", {"reverses": 3}),
        ],
        basis("100", "100"),
    ),
    ([INITIAL, ("reversal", {"reverses": 2})], EMPTY),
    (
        [INITIAL, ("reversal", {"reverses": 2}), ("basis_commit", {"basis_delta": "137", "corrects": 2})],
        basis("137", basis_commits="137", initial_basis_version=4),
    ),
    (  # the reversal of another commit leaves the initial basis
        [INITIAL, ("basis_commit", {"basis_delta": "1"}), ("reversal", {"reverses": 3})],
        basis("137.284078", basis_commits="137.284078", initial_basis_version=2),
    ),
]


@pytest.mark.parametrize(("given", "expected"), TABLE)
def test_basis(given: list[Given], expected: Basis, keeper: Bookkeeper) -> None:
    keeper.append_all(BOOK, [event(kind, **fields) for kind, fields in given])
    folded = fold(log_of(keeper)).basis
    assert folded == expected
    assert bridge(folded) == folded.net_basis
    assert keeper.view(BOOK).state.basis == expected


def test_profit_that_moves_to_another_book_is_not_withdrawn(keeper: Bookkeeper) -> None:
    """Of 150, 50 are profit: 20 of them move, and come back when the transfer is reversed."""
    keeper.open_book("other", Opened(mode="live"))
    keeper.append(BOOK, event(DEPOSIT[0], **DEPOSIT[1]))
    keeper.append(BOOK, event("adjustment", asset="RLUSD", amount="50", reason="reward"))

    moved = transfer(keeper, BOOK, TransferRequest(Movement("20"), "other"))
    assert keeper.view(BOOK).state.basis == replace(basis("100", "80"), transferred_profit=Decimal(20))
    assert keeper.view("other").state.basis == replace(basis("0", "20"), transferred_profit=Decimal(-20))

    assert moved.recorded is not None
    reverse(keeper, BOOK, Reversal(reverses=moved.recorded[0].version, reason="sent by mistake"))
    assert keeper.view(BOOK).state.basis == basis("100", "100")
    assert keeper.view("other").state.basis == EMPTY


@pytest.mark.parametrize(
    ("unknown_bases", "initial_basis_version", "is_known"),
    [(0, None, True), (1, None, False), (1, 2, True), (0, 2, True)],
)
def test_a_basis_is_known_without_unknown_ones_or_with_an_initial_basis(
    unknown_bases: int, initial_basis_version: int | None, is_known: bool
) -> None:
    made = basis(unknown_bases=unknown_bases, initial_basis_version=initial_basis_version)
    assert made.is_known is is_known


def test_the_bridge_is_computed_of_its_terms_and_not_of_net_basis() -> None:
    """A wrong net basis shows against it."""
    assert bridge(basis("999", "100", "10", "1", "0.1")) == Decimal("111.1")


def test_the_first_users_basis(keeper: Bookkeeper) -> None:
    """39.27 XRP at 1.3314 and 85.00 RLUSD from before the basis was kept: 137.284078."""
    keeper.append(BOOK, event("deposit", **UNKNOWN[1]))
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="85.00", basis_unknown=True))
    before = keeper.view(BOOK).state.basis
    assert (before.net_deposits, before.net_basis, before.is_known) == (Decimal("137.284078"), Decimal(0), False)
    keeper.append(BOOK, event("basis_commit", **INITIAL[1]))
    after = keeper.view(BOOK).state.basis
    assert (after.net_deposits, after.net_basis, after.is_known) == (Decimal("137.284078"), Decimal("137.284078"), True)
