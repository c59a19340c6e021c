"""Counts of what a property test invented: a case that is never reached is not tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Context, Decimal

from engine.proof.invariants import Step
from ledger.amounts import ZERO
from ledger.book import Head
from ledger.events import (
    EVENT_TYPES,
    Fill,
    Reversal,
    Withdrawal,
)

DUST = Decimal("1e-12")
# Python's default decimal context rounds to this many digits; longer amounts reveal arithmetic that uses it by mistake.
DEFAULT_CONTEXT_DIGITS = 28
_EXACT = Context(prec=200)


def _zeros(*names: str) -> Callable[[], Counter[str]]:
    return lambda: Counter(dict.fromkeys(names, 0))


@dataclass
class Statistics:
    """What was invented, up to the first failure.

    futures:            how many futures
    events:             events by type
    withdrawals:        those that the engine decided: `pure_profit`; `mixed`; `in_drawdown` (all principal, with equity
                        below basis); `all_principal` (otherwise)
    reversals:          reversals of events `of_the_log`, and `of_the_invented`
    rebates:            fills with a negative fee
    unknown_fees:       fills with an unknown fee
    dust:               events that move an amount of at most 10⁻¹²
    long_amounts:       events that move an amount of more than 28 digits
    negative_balances:  events after which an asset that they moved has a balance below 0
    refused:            wishes and events that were refused, by code
    """

    futures: int = 0
    events: Counter[str] = field(default_factory=_zeros(*(kind for kind in EVENT_TYPES if kind != "opened")))
    withdrawals: Counter[str] = field(default_factory=_zeros("pure_profit", "mixed", "in_drawdown", "all_principal"))
    reversals: Counter[str] = field(default_factory=_zeros("of_the_log", "of_the_invented"))
    rebates: int = 0
    unknown_fees: int = 0
    dust: int = 0
    long_amounts: int = 0
    negative_balances: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def count(self, step: Step, present: Head) -> None:
        """Count one recorded event. `present`: where the future began."""
        event, effects = step.event, step.stored.effects
        self.events[step.stored.type] += 1
        if isinstance(event, Withdrawal) and event.evidence is not None:
            self.withdrawals[_division(event)] += 1
        if isinstance(event, Reversal):
            self.reversals["of_the_log" if event.reverses <= present.version else "of_the_invented"] += 1
        if isinstance(event, Fill):
            self.rebates += event.fee_amount is not None and event.fee_amount < 0
            self.unknown_fees += event.fee_amount is None
        moved = [posting.delta for posting in effects.postings]
        self.dust += any(ZERO < amount.copy_abs() <= DUST for amount in moved)
        # Without the trailing zeros that a server adds.
        digits = (amount.normalize(_EXACT).as_tuple().digits for amount in moved)
        self.long_amounts += any(len(those) > DEFAULT_CONTEXT_DIGITS for those in digits)
        self.negative_balances += any(step.after.inventory.balance(posting.asset) < 0 for posting in effects.postings)


def _division(event: Withdrawal) -> str:
    evidence = event.evidence
    assert evidence is not None
    if evidence.principal.is_zero():
        return "pure_profit"
    if evidence.profit > 0:
        return "mixed"
    return "in_drawdown" if evidence.equity_before < evidence.basis_before else "all_principal"
