"""The evidence of a withdrawal: made from a book's state, and verified against the state that the event lands on."""

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
    withdrawal: Decimal, state: BookState, prices: Mapping[str, Price], book: Book, late: Late | None = None
) -> Evidence:
    """The evidence of a withdrawal of a value (in the numeraire) from a state; `prices` has every asset held.

    `late`: of a withdrawal that is decided after its `at`, None for one that is not.
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
    )


def late_evidence(asset: str, own_price: Price | None, *, decided_at: datetime) -> Late:
    """What says that a withdrawal is late; `own_price`: the asset's at the withdrawal's `at`, None for the numeraire."""
    return Late(decided_at=decided_at, mark=None if own_price is None else _mark_used(asset, own_price))


def _mark_used(asset: str, price: Price) -> MarkUsed:
    return MarkUsed(asset=asset, price=price.price, source=price.source, at=price.at)


def verify_evidence(event: Withdrawal, state: BookState, book: Book) -> None:
    """Check a withdrawal's evidence, where it has any, against the state before it.

    Raises Refused `evidence_mismatch`, naming the first figure that the state does not give.
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
    """The price that the evidence values the withdrawn asset at; None for the numeraire, and where it names none."""
    if evidence.late is not None:
        return evidence.late.mark.price if evidence.late.mark is not None else None
    return next((mark.price for mark in evidence.marks if mark.asset == asset), None)


def _require_late(event: Withdrawal, late: Late, book: Book) -> None:
    """A late withdrawal names the own price of what it takes, and nothing else's."""
    expected = None if event.asset == book.numeraire else event.asset
    _require("late.mark", expected or "none", late.mark.asset if late.mark else "none")
    if late.decided_at < (event.at or late.decided_at):
        _require("late.decided_at", "at or after the withdrawal's at", time_text(late.decided_at))


def _require(name: str, expected: str, actual: str) -> None:
    if expected != actual:
        raise Refused(
            Refusal.EVIDENCE_MISMATCH,
            f"the evidence's {name} is not what the book gives before this withdrawal",
            expected=expected,
            actual=actual,
            advice="read the book again and classify anew, or record the withdrawal without evidence",
            field=f"evidence.{name}",
        )
