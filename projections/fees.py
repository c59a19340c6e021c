"""Fees: what was paid in each asset, by fills and as adjustments, and how many fees are not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from ledger.amounts import ZERO, subtract
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Fees:
    """`paid`: per asset, in its own unit, rebates subtracted. `unknown`: fills whose fee was not reported.

    Fees are those of fills, and the adjustments with a reason of `FEE_REASONS`, such as a network's fee.
    """

    paid: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unknown: int = 0


EMPTY = Fees()
FEE_REASONS = frozenset({"fee", "network_fee"})


def apply(fees: Fees, event: StoredEvent) -> Fees:
    """The fees after an event."""
    effects = event.effects
    is_fee = effects.effect_of == "adjustment" and event.reason in FEE_REASONS
    posting = effects.own if is_fee else effects.fee
    if posting is None:
        return Fees(fees.paid, fees.unknown + effects.unknown_fees) if effects.unknown_fees else fees
    paid = subtract(fees.paid.get(posting.asset, ZERO), posting.delta)
    return Fees(MappingProxyType({**fees.paid, posting.asset: paid}), fees.unknown)
