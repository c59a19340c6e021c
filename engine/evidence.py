"""The evidence of a withdrawal: made from a book's state, and verified against the state that the event lands on."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engine.classification import policy_named
from ledger.amounts import amount_text, negate
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import Evidence, MarkUsed, Withdrawal
from ledger.rules import capital_value
from projections.marks import Price
from projections.pnl import total_value
from projections.state import BookState


def evidence_for(withdrawal: Decimal, state: BookState, prices: Mapping[str, Price], book: Book) -> Evidence:
    """The evidence of a withdrawal of a value (in the numeraire) from a state; `prices` has every asset held."""
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
    )


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
    held = {asset for asset in state.inventory.held() if asset != book.numeraire}
    prices = {mark.asset: Price(mark.price, mark.source, mark.at) for mark in evidence.marks}
    _require("marks", ", ".join(sorted(held)) or "none", ", ".join(sorted(prices)) or "none")
    worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
    own_mark = prices.get(event.asset)
    if own_mark is not None and event.price is not None:
        _require("price", amount_text(own_mark.price), amount_text(event.price))
    expected = evidence_for(worth, state, prices, book)
    for name in ("equity_before", "basis_before", "profit", "principal"):
        _require(name, amount_text(getattr(expected, name)), amount_text(getattr(evidence, name)))
    _require("basis_delta", amount_text(negate(evidence.principal)), amount_text(event.basis_delta))


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
