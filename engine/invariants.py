"""The invariants of the projections, each a small class that watches the log go by.

`observe` gets an event, recomputed from its bytes, and the state after it; it yields a finding for whatever does not hold.
Each keeps a tally of its own, by another way than the fold's, so that a wrong fold shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Protocol

from ledger.amounts import ZERO, add, amount_text, subtract
from ledger.findings import Finding
from ledger.stored import StoredEvent
from projections import basis
from projections.state import BookState


class Invariant(Protocol):
    """What `check` runs over the log."""

    name: str

    def observe(self, event: StoredEvent, after: BookState) -> Iterator[Finding]:
        """What does not hold after this event."""


class Conservation:
    """Each balance is the sum of the postings of its asset, and the sum of its parts."""

    name = "conservation"

    def __init__(self) -> None:
        self._balances: dict[str, Decimal] = {}

    def observe(self, event: StoredEvent, after: BookState) -> Iterator[Finding]:
        """What does not hold after this event."""
        for posting in event.effects.postings:
            balance = add(self._balances.get(posting.asset, ZERO), posting.delta)
            self._balances[posting.asset] = balance
        for asset in {posting.asset for posting in event.effects.postings}:
            detail = f"the balance of {asset} is not the sum of its postings"
            yield from _unequal(self.name, event, detail, self._balances[asset], after.inventory.balance(asset))


class BasisSum:
    """Net basis is the sum of all basis deltas, an unknown one counting 0."""

    name = "basis_sum"

    def __init__(self) -> None:
        self._sum = ZERO

    def observe(self, event: StoredEvent, after: BookState) -> Iterator[Finding]:
        """What does not hold after this event."""
        self._sum = add(self._sum, event.effects.basis_delta)
        detail = "net basis is not the sum of the basis deltas"
        yield from _unequal(self.name, event, detail, self._sum, after.basis.net_basis)


class BasisBridge:
    """Net basis = net deposits + withdrawn profit + basis commits + Σ (basis_delta − value) over deposits."""

    name = "basis_bridge"

    def observe(self, event: StoredEvent, after: BookState) -> Iterator[Finding]:
        """What does not hold after this event."""
        detail = "net basis is not net deposits + withdrawn profit + basis commits + deposits' basis over value"
        yield from _unequal(self.name, event, detail, basis.bridge(after.basis), after.basis.net_basis)


def _unequal(name: str, event: StoredEvent, detail: str, expected: Decimal, actual: Decimal) -> Iterator[Finding]:
    if expected != actual:
        difference = amount_text(subtract(actual, expected))
        yield Finding(name, event.version, detail, amount_text(expected), amount_text(actual), difference)


INVARIANTS: dict[str, type[Conservation] | type[BasisSum] | type[BasisBridge]] = {
    invariant.name: invariant for invariant in (Conservation, BasisSum, BasisBridge)
}
