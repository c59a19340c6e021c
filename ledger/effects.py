"""What an event moves: its postings, and its deltas of net deposits, basis and starting value.

A worked example, numeraire RLUSD:

    fill buy 10 XRP for 13.30 RLUSD, fee 0.01 XRP   XRP +10, RLUSD −13.30, fee XRP −0.01
    deposit 39.27 XRP at 1.3314                     XRP +39.27; net deposits, starting value and basis +52.284078
    reversal of that deposit                        XRP −39.27; all three −52.284078, in the capital part

Effects are computed once, when an event is recorded, and stored beside its body, so that a fold needs only the event itself
and a sum needs only one table. Two types depend on the log before them: a reversal negates the effects of the event that
it reverses, and a baseline's delta is the difference to the current starting value. `check` recomputes all effects from
the bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from ledger.amounts import ZERO, negate, subtract
from ledger.book import Book
from ledger.events import Adjustment, Baseline, BasisCommit, Deposit, Event, Fill, Reversal, Withdrawal
from ledger.rules import capital_value


@dataclass(frozen=True, slots=True)
class Posting:
    """A change of one asset's balance, in the asset's own unit."""

    asset: str
    delta: Decimal


@dataclass(frozen=True, slots=True)
class Effects:
    """What an event moves. Postings are in their asset's own unit, deltas in the numeraire.

    effect_of:             the event's type; for a reversal, the type of the event that it reverses
    own:                   the posting of the event's own asset (of a fill: the base asset); None when it has none
    quote:                 the posting of a fill's quote asset; None for other types
    fee:                   the posting of a fill's fee; None when the fee is unknown, and for other types
    net_deposits_delta:    what it adds to net deposits
    basis_delta:           what it adds to net basis
    starting_value_delta:  what it adds to the starting value
    unknown_fees:          1 for a fill whose fee is unknown, −1 for its reversal, otherwise 0
    unknown_bases:         1 for a deposit whose basis is unknown, −1 for its reversal, otherwise 0
    """

    effect_of: str
    own: Posting | None = None
    quote: Posting | None = None
    fee: Posting | None = None
    net_deposits_delta: Decimal = ZERO
    basis_delta: Decimal = ZERO
    starting_value_delta: Decimal = ZERO
    unknown_fees: int = 0
    unknown_bases: int = 0

    @property
    def postings(self) -> Iterator[Posting]:
        """The postings that are not None, in the order own, quote, fee."""
        return (posting for posting in (self.own, self.quote, self.fee) if posting is not None)


class History(Protocol):
    """What the effects of a baseline and of a reversal need to know about the log before them."""

    def starting_value(self) -> Decimal:
        """The starting value after the newest event, in the numeraire."""

    def effects_at(self, version: int) -> Effects:
        """The effects of an earlier event."""


def effects_of(event: Event, book: Book, history: History) -> Effects:
    """The effects of a completed event (see `ledger.rules.complete`)."""
    compute = _EFFECTS.get(event.kind)
    return compute(event, book, history) if compute else Effects(event.kind)


def negated(effects: Effects) -> Effects:
    """The opposite effects, in the same part of the balance."""
    return Effects(
        effect_of=effects.effect_of,
        own=_opposite(effects.own),
        quote=_opposite(effects.quote),
        fee=_opposite(effects.fee),
        net_deposits_delta=negate(effects.net_deposits_delta),
        basis_delta=negate(effects.basis_delta),
        starting_value_delta=negate(effects.starting_value_delta),
        unknown_fees=-effects.unknown_fees,
        unknown_bases=-effects.unknown_bases,
    )


def _opposite(posting: Posting | None) -> Posting | None:
    return None if posting is None else Posting(posting.asset, negate(posting.delta))


def _fill(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, Fill)
    buys = event.side == "buy"
    fee = None
    if event.fee_amount is not None:
        assert event.fee_asset is not None  # ledger.rules
        fee = Posting(event.fee_asset, negate(event.fee_amount))
    return Effects(
        effect_of="fill",
        own=Posting(event.base_asset, event.base_amount if buys else negate(event.base_amount)),
        quote=Posting(event.quote_asset, negate(event.quote_amount) if buys else event.quote_amount),
        fee=fee,
        unknown_fees=0 if fee else 1,
    )


def _deposit(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, Deposit)
    worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
    return Effects(
        effect_of="deposit",
        own=Posting(event.asset, event.amount),
        net_deposits_delta=worth,
        basis_delta=event.basis_delta or ZERO,
        starting_value_delta=worth,
        unknown_bases=1 if event.basis_unknown else 0,
    )


def _withdrawal(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, Withdrawal)
    worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
    return Effects(
        effect_of="withdrawal",
        own=Posting(event.asset, negate(event.amount)),
        net_deposits_delta=negate(worth),
        basis_delta=event.basis_delta,
        starting_value_delta=negate(worth),
    )


def _basis_commit(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, BasisCommit)
    return Effects(effect_of="basis_commit", basis_delta=event.basis_delta)


def _adjustment(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, Adjustment)
    return Effects(effect_of="adjustment", own=Posting(event.asset, event.amount))


def _baseline(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, Baseline)
    return Effects(effect_of="baseline", starting_value_delta=subtract(event.starting_value, history.starting_value()))


def _reversal(event: Event, book: Book, history: History) -> Effects:
    assert isinstance(event, Reversal)
    return negated(history.effects_at(event.reverses))


_EFFECTS: dict[str, Callable[[Event, Book, History], Effects]] = {
    "fill": _fill,
    "deposit": _deposit,
    "withdrawal": _withdrawal,
    "basis_commit": _basis_commit,
    "adjustment": _adjustment,
    "baseline": _baseline,
    "reversal": _reversal,
}
