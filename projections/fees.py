"""Fees: what was paid in each asset, by fills and by adjustments for fees, and how many fees are unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from ledger.amounts import ZERO, subtract
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees of fills, and of adjustments whose reason is in `FEE_REASONS`, such as a network fee.

    paid:     by asset, in its own unit, less rebates
    unknown:  how many fills have a fee that was not reported
    """

    paid: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unknown: int = 0


EMPTY = Fees()
FEE_REASONS = frozenset({"fee", "network_fee"})


def apply(fees: Fees, stored: StoredEvent) -> Fees:
    """The fees after an event."""
    effects = stored.effects
    is_fee = effects.effect_of == "adjustment" and stored.reason in FEE_REASONS
    posting = effects.own if is_fee else effects.fee
    if posting is None:
        return Fees(fees.paid, fees.unknown + effects.unknown_fees) if effects.unknown_fees else fees
    paid = subtract(fees.paid.get(posting.asset, ZERO), posting.delta)
    return Fees(MappingProxyType({**fees.paid, posting.asset: paid}), fees.unknown)
