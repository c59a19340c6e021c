"""Fees: what was paid in each asset by fills, and how many fees are not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from ledger.amounts import ZERO, subtract
from ledger.effects import Effects


@dataclass(frozen=True, slots=True)
class Fees:
    """`paid`: per asset, in its own unit, rebates subtracted. `unknown`: fills whose fee was not reported."""

    paid: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    unknown: int = 0


EMPTY = Fees()


def apply(fees: Fees, effects: Effects) -> Fees:
    """The fees after an event."""
    if effects.fee is None:
        return Fees(fees.paid, fees.unknown + effects.unknown_fees) if effects.unknown_fees else fees
    paid = subtract(fees.paid.get(effects.fee.asset, ZERO), effects.fee.delta)
    return Fees(MappingProxyType({**fees.paid, effects.fee.asset: paid}), fees.unknown)
