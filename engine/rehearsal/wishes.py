"""Wishes: decisions that are drawn first, and turned into events by the engine in the state that a future has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from itertools import cycle
from typing import TypeAlias

from engine.capital import plan_payout
from engine.policy.classification import Policy
from engine.policy.valuation import MAX_MARK_AGE, fresh_prices
from engine.rehearsal.simulation import Simulation
from ledger.amounts import ZERO, add, subtract, value
from ledger.book import Book
from ledger.events import (
    BasisCommit,
    Event,
    Reversal,
    Withdrawal,
)
from projections.basis import INITIAL_BASIS_KEY
from projections.marks import Price
from projections.pnl import total_value
from projections.state import BookState

_QUANTUM = Decimal("1e-18")
_WIDE = Context(prec=200)

Policies = Mapping[str, Policy]


@dataclass(frozen=True)
class WithdrawWish:
    """A wish to take capital out, which the engine classifies.

    asset:   an index into the assets held
    aim:     how much: a `share` of the asset's balance, or `dust`; or, of the asset that is worth most, the whole `profit`,
             or `more` than the profit by a share of the basis
    share:   in thousandths
    prices:  for the assets held, in turn; empty for the newest marks
    """

    asset: int
    aim: str
    share: int
    prices: tuple[Decimal, ...]

    def event(self, simulation: Simulation, policies: Policies) -> Withdrawal:
        """The withdrawal in the simulation's present state. Raises Refused."""
        return self.decided(simulation, simulation.state, policies)

    def decided(self, simulation: Simulation, state: BookState, policies: Policies) -> Withdrawal:
        """The withdrawal, decided on a state of the simulation's book. Raises Refused."""
        book, now = simulation.book, simulation.now()
        given_prices = {
            asset: Price(price, "given", now)
            for asset, price in zip(state.inventory.held(), cycle(self.prices or [None]), strict=False)
            if price is not None and asset != book.numeraire
        }
        state = replace(state, marks=simulation.marks_now(state))
        prices = fresh_prices(state, book, given_prices, at=now, max_mark_age=MAX_MARK_AGE)
        asset, amount = self._asset_and_amount(state, prices, book)
        wish = Withdrawal(asset=asset, amount=max(amount, _QUANTUM), basis_delta=ZERO)
        payout = plan_payout(wish, book, state, prices, at=now)
        evidence = payout.evidence
        parts = policies[book.withdrawal_policy](payout.value, evidence.equity_before, evidence.basis_before)
        divided = evidence.model_copy(update={"profit": parts.profit, "principal": parts.principal})
        return payout.event.model_copy(update={"basis_delta": parts.basis_delta, "evidence": divided})

    def _asset_and_amount(self, state: BookState, prices: Mapping[str, Price], book: Book) -> tuple[str, Decimal]:
        balances = {asset: state.inventory.balance(asset) for asset in state.inventory.held()}
        there = [asset for asset, balance in balances.items() if balance > 0]
        if not there:
            return book.numeraire, _QUANTUM
        basis = state.basis.net_basis
        share = Decimal(f"{self.share}E-3")
        profit = subtract(total_value(state.inventory, prices, book.numeraire), basis)
        if self.aim in ("profit", "more") and profit > 0:
            more = value(max(basis, ZERO), share) if self.aim == "more" else ZERO
            price_of = {asset: prices[asset].price if asset in prices else Decimal(1) for asset in there}
            richest = max(there, key=lambda asset: value(balances[asset], price_of[asset]))
            wished = value(_WIDE.divide(add(profit, more), price_of[richest]), Decimal(1))
            return richest, min(wished, balances[richest])
        asset = there[self.asset % len(there)]
        wished = value(_QUANTUM, Decimal(self.share)) if self.aim == "dust" else value(balances[asset], share)
        return asset, min(wished, balances[asset])


@dataclass(frozen=True)
class LateWithdrawWish:
    """A withdrawal that was decided before the newest event, by a caller who does not know about that event."""

    wish: WithdrawWish

    def event(self, simulation: Simulation, policies: Policies) -> Withdrawal:
        """The withdrawal; the log refuses it when the newest event changed what it was decided on."""
        return self.wish.decided(simulation, simulation.before, policies)


@dataclass(frozen=True)
class ReverseWish:
    """A reversal of an event. When no event matches, any event is taken, so removing other turns rarely changes which.

    of_the_log:      one of the log's events, not an invented one
    kind:            its type
    back:            how many matching events to go back
    may_be_refused:  choose among all events, not only those that may be reversed
    """

    of_the_log: bool
    kind: str
    back: int
    may_be_refused: bool

    def event(self, simulation: Simulation, policies: Policies) -> Reversal | None:
        """The reversal; None when there is nothing to reverse."""
        del policies
        found = list(simulation.events.values())[::-1] if self.may_be_refused else simulation.standing()
        found = [event for event in found if simulation.is_invented(event) is not self.of_the_log] or found
        found = [event for event in found if event.type == self.kind] or found
        return Reversal(reverses=found[self.back % len(found)].version) if found else None


@dataclass(frozen=True)
class BackfillWish:
    """A synthetic initial basis, if the book has none.

    amount:  its basis, in the numeraire
    """

    amount: Decimal

    def event(self, simulation: Simulation, policies: Policies) -> BasisCommit | None:
        """The basis commit; None when the book has an initial basis."""
        del policies
        if simulation.state.basis.initial_basis_version is not None:
            return None
        # The version makes the key new, even if an earlier initial basis was reversed.
        return BasisCommit(basis_delta=self.amount, key=f"{INITIAL_BASIS_KEY}#{simulation.head.version + 1}")


# One turn of a future. None does nothing: Hypothesis replaces turns that do not matter by it, and then drops them.
Turn: TypeAlias = Event | WithdrawWish | LateWithdrawWish | ReverseWish | BackfillWish | None
