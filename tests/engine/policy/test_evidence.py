"""Evidence of a withdrawal: what the book gives is taken, and one figure that differs is a mismatch."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.policy.evidence import evidence_for, verify_evidence
from ledger.amounts import parse_amount, value
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import Withdrawal
from projections.basis import Basis
from projections.inventory import Holding, Inventory
from projections.marks import Price
from projections.state import BookState
from tests.support import BOOK, START, event, log_of, open_keeper

AT = "2026-01-05T08:59:00.000000Z"

# What leads up to the withdrawal: 100 RLUSD and 10 XRP at 2 come in, so basis is 120; a fill takes 20 RLUSD for 8 XRP and
# 1 ETH is owed. At XRP 2.5 and ETH 3 the equity is 80 + 18 × 2.5 − 3 = 122: 2 of it is profit.
BEFORE: list[tuple[str, dict[str, Any]]] = [
    ("deposit", {"asset": "RLUSD", "amount": "100"}),
    ("deposit", {"asset": "XRP", "amount": "10", "price": "2"}),
    ("fill", {"side": "buy", "base_asset": "XRP", "base_amount": "8", "quote_asset": "RLUSD", "quote_amount": "20"}),
    ("adjustment", {"asset": "ETH", "amount": "-1", "reason": "clawback"}),
]
XRP: dict[str, Any] = {"asset": "XRP", "price": "2.5", "source": "venue", "at": AT}
ETH: dict[str, Any] = {"asset": "ETH", "price": "3", "at": AT}
EVIDENCE: dict[str, Any] = {
    "equity_before": "122",
    "basis_before": "120",
    "profit": "2",
    "principal": "48",
    "marks": [ETH, XRP],
    "policy": "profit_first/1",
}
WITHDRAWAL: dict[str, Any] = {
    "asset": "XRP",
    "amount": "20",
    "price": "2.5",
    "basis_delta": "-48",
    "evidence": EVIDENCE,
    "key": "w",
}


@pytest.fixture
def before(keeper: Bookkeeper) -> Bookkeeper:
    """A ledger at version 5, before the withdrawal."""
    keeper.append_all(BOOK, [event(kind, **fields) for kind, fields in BEFORE])
    return keeper


def refused_field(keeper: Bookkeeper, **changed: object) -> str | None:
    """The field that a withdrawal is refused for, some of its fields changed; None when it is taken."""
    try:
        keeper.append(BOOK, event("withdrawal", **{**WITHDRAWAL, **changed}))
    except Refused as refused:
        if refused.refusal is not Refusal.EVIDENCE_MISMATCH:
            raise
        return refused.field
    return None


def test_right_evidence_is_taken_and_kept(before: Bookkeeper) -> None:
    assert refused_field(before) is None
    (stored,) = log_of(before, after=5)
    withdrawal = stored.event
    assert isinstance(withdrawal, Withdrawal)
    evidence = withdrawal.evidence
    assert evidence is not None
    assert [(mark.asset, mark.price, mark.source) for mark in evidence.marks] == [
        ("ETH", Decimal(3), None),
        ("XRP", Decimal("2.5"), "venue"),
    ]
    figures = [evidence.equity_before, evidence.basis_before, evidence.profit, evidence.principal]
    assert figures == [122, 120, 2, 48]


def test_a_withdrawal_without_evidence_is_taken(before: Bookkeeper) -> None:
    assert refused_field(before, evidence=None, basis_delta="-1") is None


@pytest.mark.parametrize(
    ("figure", "changed", "field"),
    [
        ("equity_before", "122.000000000000000001", "evidence.equity_before"),
        ("equity_before", "121.999999999999999999", "evidence.equity_before"),
        ("equity_before", "-122", "evidence.equity_before"),
        ("basis_before", "120.000000000000000001", "evidence.basis_before"),
        ("basis_before", "0", "evidence.basis_before"),
        ("profit", "2.000000000000000001", "evidence.profit"),
        ("profit", "0", "evidence.profit"),
        ("principal", "48.000000000000000001", "evidence.principal"),
        ("principal", "50", "evidence.principal"),
        ("policy", "principal_first/1", "evidence.policy"),
        ("policy", "profit_first/2", "evidence.policy"),
        ("marks", [], "evidence.marks"),
        ("marks", [XRP], "evidence.marks"),
        ("marks", [ETH], "evidence.marks"),
        ("marks", [ETH, XRP, {**XRP, "asset": "BTC"}], "evidence.marks"),
        ("marks", [ETH, XRP, {**XRP, "asset": "RLUSD", "price": "1"}], "evidence.marks"),
        ("marks", [{**ETH, "asset": "eth"}, XRP], "evidence.marks"),
        ("marks", [{**ETH, "price": "3.000000000000000001"}, XRP], "evidence.equity_before"),
        ("marks", [ETH, {**XRP, "price": "2.500000000000000001"}], "evidence.price"),
    ],
)
def test_each_figure_of_the_evidence_changed_is_a_mismatch(
    figure: str, changed: object, field: str, before: Bookkeeper
) -> None:
    assert refused_field(before, evidence={**EVIDENCE, figure: changed}) == field
    assert before.view(BOOK).head.version == 5


@pytest.mark.parametrize(
    ("name", "changed", "field"),
    [
        ("amount", "20.000000000000000001", "evidence.principal"),
        ("amount", "0.8", "evidence.principal"),
        ("amount", "0.4", "evidence.profit"),
        ("price", "2.500000000000000001", "evidence.price"),
        ("basis_delta", "-48.000000000000000001", "evidence.basis_delta"),
        ("basis_delta", "0", "evidence.basis_delta"),
    ],
)
def test_each_figure_of_the_withdrawal_changed_is_a_mismatch(
    name: str, changed: str, field: str, before: Bookkeeper
) -> None:
    assert refused_field(before, **{name: changed}) == field
    assert before.view(BOOK).head.version == 5


@pytest.mark.parametrize("swapped", [("profit", "principal"), ("equity_before", "basis_before")])
def test_two_figures_exchanged_are_a_mismatch(swapped: tuple[str, str], before: Bookkeeper) -> None:
    one, other = swapped
    assert refused_field(before, evidence={**EVIDENCE, one: EVIDENCE[other], other: EVIDENCE[one]}) is not None


def test_consistent_evidence_of_another_state_is_a_mismatch(before: Bookkeeper) -> None:
    """All of it follows from itself, but one event has come between."""
    before.append(BOOK, event("deposit", asset="RLUSD", amount="0.000001"))
    assert refused_field(before) == "evidence.equity_before"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("basis_commit", {"basis_delta": "1"}),
        ("reversal", {"reverses": 2}),
        ("adjustment", {"asset": "BTC", "amount": "1", "reason": "reward"}),
        ("fill", {**BEFORE[2][1], "base_amount": "9"}),
    ],
)
def test_whatever_moves_equity_or_basis_between_makes_it_another_state(
    kind: str, fields: dict[str, Any], before: Bookkeeper
) -> None:
    before.append(BOOK, event(kind, **fields))
    assert refused_field(before) is not None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("mark", {"asset": "XRP", "price": "99"}),
        ("baseline", {"starting_value": "1"}),
    ],
)
def test_what_moves_neither_leaves_the_evidence_right(kind: str, fields: dict[str, Any], before: Bookkeeper) -> None:
    """A later mark is another opinion: the evidence names its own."""
    before.append(BOOK, event(kind, **fields))
    assert refused_field(before) is None


def test_evidence_is_verified_against_the_events_before_it_in_its_own_transaction(keeper: Bookkeeper) -> None:
    events = [event(kind, **fields) for kind, fields in BEFORE]
    withdrawal = event("withdrawal", **WITHDRAWAL)
    with pytest.raises(Refused) as refused:
        keeper.append_all(BOOK, [*events, withdrawal, event("withdrawal", **{**WITHDRAWAL, "key": "again"})])
    assert (refused.value.refusal, refused.value.index) == (Refusal.EVIDENCE_MISMATCH, 5)
    assert keeper.append_all(BOOK, [*events, withdrawal]).head.version == 6


def test_another_policy_asks_for_other_parts(tmp_path: Path) -> None:
    with open_keeper(tmp_path, withdrawal_policy="principal_first/1") as keeper:
        keeper.append_all(BOOK, [event(kind, **fields) for kind, fields in BEFORE])
        assert refused_field(keeper) == "evidence.policy"
        assert refused_field(keeper, evidence={**EVIDENCE, "policy": "principal_first/1"}) == "evidence.profit"
        right = {**EVIDENCE, "policy": "principal_first/1", "profit": "0", "principal": "50"}
        assert refused_field(keeper, evidence=right, basis_delta="-50") is None


def test_a_mismatch_says_what_was_expected(before: Bookkeeper) -> None:
    with pytest.raises(Refused) as refused:
        before.append(BOOK, event("withdrawal", **{**WITHDRAWAL, "evidence": {**EVIDENCE, "profit": "3"}}))
    assert (refused.value.expected, refused.value.actual) == ("2", "'3'")


# ---- made and verified, for any state

LIVE = Book(BOOK, "live", "RLUSD", "XRP", "profit_first/1")
_amounts = st.decimals(-(10**12), 10**12, places=18).map(lambda amount: parse_amount(str(amount)))
_positive = st.decimals("0.000000000000000001", 10**6, places=18).map(lambda amount: parse_amount(str(amount)))


@given(st.dictionaries(st.sampled_from(["RLUSD", "XRP", "ETH", "BTC"]), _amounts), _amounts, _positive, st.data())
def test_evidence_that_is_made_of_a_state_is_verified_by_it(
    balances: dict[str, Decimal], net_basis: Decimal, amount: Decimal, data: st.DataObject
) -> None:
    state = BookState(
        version=1,
        inventory=Inventory({asset: Holding(capital=balance) for asset, balance in balances.items()}),
        basis=Basis(net_basis=net_basis),
    )
    prices = {asset: Price(data.draw(_positive), None, START) for asset in [*balances, "XRP"] if asset != "RLUSD"}
    asset = data.draw(st.sampled_from(["RLUSD", "XRP"]))
    price = None if asset == "RLUSD" else prices["XRP"].price
    worth = amount if price is None else value(amount, price)
    evidence = evidence_for(worth, state, prices, LIVE)
    withdrawal = Withdrawal(
        asset=asset, amount=amount, price=price, basis_delta=evidence.principal.copy_negate(), evidence=evidence
    )
    verify_evidence(withdrawal, state, LIVE)
    assert [mark.asset for mark in evidence.marks] == sorted(
        held for held, balance in balances.items() if balance and held != "RLUSD"
    )
