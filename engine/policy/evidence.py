"""The evidence of a withdrawal: made from a book's state, and verified against the state before the event is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from engine.policy.classification import policy_named
from ledger.amounts import amount_text, negate
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import Evidence, Late, MarkUsed, Withdrawal
from ledger.rules import capital_value
from ledger.times import time_text
from projections.marks import Price
from projections.pnl import total_value
from projections.state import BookState


def evidence_for(
    withdrawal: Decimal,
    state: BookState,
    prices: Mapping[str, Price],
    book: Book,
    late: Late | None = None,
    pending: int | None = None,
) -> Evidence:
    """The evidence of a withdrawal.

    `withdrawal`: its value in the numeraire. `state`: the book before it. `prices`: must have every asset held. `late`: for
    a withdrawal that is decided after its `at`; otherwise None. `pending`: how many imported movements waited; None for
    none.
    """
    equity = total_value(state.inventory, prices, book.numeraire)
    basis = state.basis.net_basis
    parts = policy_named(book.withdrawal_policy)(withdrawal, equity, basis)
    held = [asset for asset in state.inventory.held() if asset != book.numeraire]
    return Evidence(
        equity_before=equity,
        basis_before=basis,
        profit=parts.profit,
        principal=parts.principal,
        marks=tuple(_mark_used(asset, prices[asset]) for asset in held),
        policy=book.withdrawal_policy,
        late=late,
        pending=pending,
    )


def late_evidence(asset: str, own_price: Price | None, *, decided_at: datetime) -> Late:
    """The part of the evidence that marks a withdrawal as late.

    `own_price`: of the withdrawn asset at the withdrawal's `at`; None for the numeraire.
    """
    return Late(decided_at=decided_at, mark=None if own_price is None else _mark_used(asset, own_price))


def _mark_used(asset: str, price: Price) -> MarkUsed:
    return MarkUsed(asset=asset, price=price.price, source=price.source, at=price.at)


def verify_evidence(event: Withdrawal, state: BookState, book: Book) -> None:
    """Verify a withdrawal's evidence, if it has any, against the state before it.

    Raises Refused `evidence_mismatch`, naming the first figure that does not follow from the state.
    """
    evidence = event.evidence
    if evidence is None:
        return
    _require("policy", book.withdrawal_policy, evidence.policy)
    if evidence.late is not None:
        _require_late(event, evidence.late, book)
    held = {asset for asset in state.inventory.held() if asset != book.numeraire}
    prices = {mark.asset: Price(mark.price, mark.source, mark.at) for mark in evidence.marks}
    _require("marks", ", ".join(sorted(held)) or "none", ", ".join(sorted(prices)) or "none")
    worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
    own_price = _own_price(event.asset, evidence)
    if own_price is not None and event.price is not None:
        _require("price", amount_text(own_price), amount_text(event.price))
    expected = evidence_for(worth, state, prices, book, evidence.late)
    for name in ("equity_before", "basis_before", "profit", "principal"):
        _require(name, amount_text(getattr(expected, name)), amount_text(getattr(evidence, name)))
    _require("basis_delta", amount_text(negate(evidence.principal)), amount_text(event.basis_delta))


def _own_price(asset: str, evidence: Evidence) -> Decimal | None:
    """The price of the withdrawn asset in the evidence; None for the numeraire, and when the evidence has none."""
    if evidence.late is not None:
        return evidence.late.mark.price if evidence.late.mark is not None else None
    return next((mark.price for mark in evidence.marks if mark.asset == asset), None)


def _require_late(event: Withdrawal, late: Late, book: Book) -> None:
    """Verify that a late withdrawal has a price for the withdrawn asset, and that it was not decided before its `at`."""
    expected = None if event.asset == book.numeraire else event.asset
    _require("late.mark", expected or "none", late.mark.asset if late.mark else "none")
    if late.decided_at < (event.at or late.decided_at):
        _require("late.decided_at", "at or after the withdrawal's at", time_text(late.decided_at))


def _require(name: str, expected: str, actual: str) -> None:
    if expected != actual:
        raise Refused(
            Refusal.EVIDENCE_MISMATCH,
            f"evidence.{name} does not match the book before this withdrawal",
            expected=expected,
            actual=actual,
            advice="read the book and classify again, or record the withdrawal without evidence",
            field=f"evidence.{name}",
        )
