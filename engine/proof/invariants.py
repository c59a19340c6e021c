"""The invariants that hold event by event: `check` runs them over the log, the property tests over invented futures.

    watch = [invariant() for invariant in INVARIANTS.values()]
    for step in steps:                      # Step(book, stored, event, before, after)
        findings = [finding for invariant in watch for finding in invariant.observe(step)]

Each is a small class that watches the log go by and keeps what it needs by another way than the fold, so that a wrong fold
shows. The Δ of total value of an event is the sum of the values of its own postings at the event's own price, each value
rounded once, so that the equalities are exact. A reversal is held to the same equalities as what it reverses, negated.
`chain` is in `ledger.integrity.prover`, `projections_match` in `engine.proof.check`: they are about the storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from engine.policy.evidence import verify_evidence
from ledger.amounts import ZERO, add, amount_text, negate, subtract, total, value
from ledger.book import Book
from ledger.errors import Refused
from ledger.events import Event, Withdrawal
from ledger.integrity.findings import Finding
from ledger.integrity.tally import Tally
from ledger.stored import StoredEvent
from projections import basis
from projections.state import BookState


@dataclass(frozen=True, slots=True)
class Step:
    """One event between the states before and after it; `event` is None when its bytes cannot be read."""

    book: Book
    stored: StoredEvent
    event: Event | None
    before: BookState
    after: BookState

    @property
    def sign(self) -> int:
        """1, or −1 for a reversal, which is held to the negated equalities."""
        return 1 if self.stored.reverses is None else -1

    @property
    def total_value_delta(self) -> Decimal:
        """The sum of the values of the event's own postings, at its own price; the numeraire's is 1."""
        return total(self._worth(posting.asset, posting.delta) for posting in self.stored.effects.postings)

    def _worth(self, asset: str, delta: Decimal) -> Decimal:
        if asset == self.book.numeraire or self.stored.price is None:
            return delta
        return value(delta, self.stored.price)

    @property
    def net_deposits_delta(self) -> Decimal:
        return subtract(self.after.basis.net_deposits, self.before.basis.net_deposits)

    @property
    def basis_delta(self) -> Decimal:
        return subtract(self.after.basis.net_basis, self.before.basis.net_basis)

    @property
    def starting_value_delta(self) -> Decimal:
        return subtract(self.after.engine_state.starting_value, self.before.engine_state.starting_value)


class Invariant(Protocol):
    """What `check` runs over the log."""

    name: str

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""

    def holds_over(self, tally: Tally, after: BookState) -> bool:
        """Whether it holds after sound rows that were folded at once; where not, they are observed one by one."""

    def pass_over(self, tally: Tally) -> None:
        """Continue after sound rows that were folded at once and after which it holds."""


class _OfOneEvent:
    """Of an event by itself, and so of no row that the fast lane has proved (see `ledger.integrity.fast_lane`).

    A fill's deltas of net deposits, basis and starting value were compared with 0; a deposit's of net deposits and starting
    value with the value of what came in, at its own price. Withdrawals and basis commits it leaves to the prover.
    """

    def holds_over(self, tally: Tally, after: BookState) -> bool:
        """Always."""
        return True

    def pass_over(self, tally: Tally) -> None:
        """Nothing is kept from event to event."""


class Conservation:
    """Each balance is the sum of the postings of its asset, and the sum of its parts."""

    name = "conservation"

    def __init__(self) -> None:
        self._balances: dict[str, Decimal] = {}

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        postings = list(step.stored.effects.postings)
        for posting in postings:
            self._balances[posting.asset] = add(self._balances.get(posting.asset, ZERO), posting.delta)
        for asset in sorted({posting.asset for posting in postings}):
            detail = f"the balance of {asset} is not the sum of its postings"
            yield from _unequal(self, step, detail, self._balances[asset], step.after.inventory.balance(asset))

    def holds_over(self, tally: Tally, after: BookState) -> bool:
        """Whether it holds after the last of the rows; between them balance and sum move by the same postings."""
        return all(after.inventory.balance(asset) == self._with(tally, asset) for asset in tally.postings)

    def pass_over(self, tally: Tally) -> None:
        """Add the postings."""
        self._balances |= {asset: self._with(tally, asset) for asset in tally.postings}

    def _with(self, tally: Tally, asset: str) -> Decimal:
        return total((self._balances.get(asset, ZERO), *tally.postings[asset].values()))


class BasisSum:
    """Net basis is the sum of all basis deltas, an unknown one counting 0."""

    name = "basis_sum"

    def __init__(self) -> None:
        self._sum = ZERO

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        self._sum = add(self._sum, step.stored.effects.basis_delta)
        detail = "net basis is not the sum of the basis deltas"
        yield from _unequal(self, step, detail, self._sum, step.after.basis.net_basis)

    def holds_over(self, tally: Tally, after: BookState) -> bool:
        """Whether it holds after the last of the rows; between them both sides move by the same deltas."""
        return add(self._sum, tally.basis) == after.basis.net_basis

    def pass_over(self, tally: Tally) -> None:
        """Add the basis deltas."""
        self._sum = add(self._sum, tally.basis)


class BasisBridge:
    """Net basis = net deposits + withdrawn and transferred profit + basis commits + deposits' basis over their value."""

    name = "basis_bridge"

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        detail = "net basis is not net deposits + profit that left + basis commits + deposits' basis over value"
        yield from _unequal(self, step, detail, basis.bridge(step.after.basis), step.after.basis.net_basis)

    def holds_over(self, tally: Tally, after: BookState) -> bool:
        """Whether it holds after the last of the rows; only deposits move the sides, both by their basis delta."""
        return basis.bridge(after.basis) == after.basis.net_basis

    def pass_over(self, tally: Tally) -> None:
        """Nothing is kept from event to event."""


class InjectionNeutral(_OfOneEvent):
    """A deposit of value x: Δ net deposits = Δ total value = x, Δ total PnL = Δ trading value = 0."""

    name = "injection_neutral"

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        if step.stored.effects.effect_of == "deposit":
            yield from _capital_is_neutral(self, step, "deposit")


class WithdrawalNeutral(_OfOneEvent):
    """A withdrawal of value x: Δ total value = −x, Δ total PnL = 0; its evidence agrees with the log and the policy."""

    name = "withdrawal_neutral"

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        if step.stored.effects.effect_of != "withdrawal":
            return
        yield from _capital_is_neutral(self, step, "withdrawal")
        if not isinstance(step.event, Withdrawal) or step.event.evidence is None:
            return
        worth, parts = negate(step.total_value_delta), (step.event.evidence.profit, step.event.evidence.principal)
        yield from _unequal(self, step, "profit + principal is not the withdrawal's value", worth, total(parts))
        try:
            verify_evidence(step.event, step.before, step.book)
        except Refused as refused:
            yield Finding(self.name, step.stored.version, refused.what, refused.expected, refused.actual)


class BasisCommitPure(_OfOneEvent):
    """A basis commit moves neither inventory, nor total value, nor starting value, nor net deposits."""

    name = "basis_commit_pure"

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        if step.stored.effects.effect_of != "basis_commit":
            return
        for posting in step.stored.effects.postings:
            yield from _unequal(self, step, f"a basis commit moved {posting.asset}", ZERO, posting.delta)
        yield from _unequal(self, step, "a basis commit moved the starting value", ZERO, step.starting_value_delta)
        yield from _unequal(self, step, "a basis commit moved net deposits", ZERO, step.net_deposits_delta)


class FillNeutral(_OfOneEvent):
    """A fill moves neither basis, nor net deposits, nor starting value."""

    name = "fill_neutral"

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        if step.stored.effects.effect_of != "fill":
            return
        yield from _unequal(self, step, "a fill moved net basis", ZERO, step.basis_delta)
        yield from _unequal(self, step, "a fill moved net deposits", ZERO, step.net_deposits_delta)
        yield from _unequal(self, step, "a fill moved the starting value", ZERO, step.starting_value_delta)


class BasisFloor(_OfOneEvent):
    """A withdrawal that the engine decided from a net basis ≥ 0 leaves it ≥ 0; its evidence tells that it did."""

    name = "basis_floor"

    def observe(self, step: Step) -> Iterator[Finding]:
        """What does not hold after this event."""
        decided = isinstance(step.event, Withdrawal) and step.event.evidence is not None
        before, after = step.before.basis.net_basis, step.after.basis.net_basis
        if decided and before >= 0 > after:
            detail = "a withdrawal that the engine decided left net basis below 0"
            yield Finding(self.name, step.stored.version, detail, "≥ 0", amount_text(after), amount_text(after))


def _capital_is_neutral(invariant: Invariant, step: Step, noun: str) -> Iterator[Finding]:
    """The equalities of a deposit and of a withdrawal, which are the same: what is moved is not earned."""
    worth = step.total_value_delta
    what = f"a {noun}" if step.sign > 0 else f"the reversal of a {noun}"
    pnl_delta = subtract(worth, step.starting_value_delta)
    yield from _unequal(invariant, step, f"{what} moved net deposits by another value", worth, step.net_deposits_delta)
    yield from _unequal(invariant, step, f"{what} moved total PnL", ZERO, pnl_delta)


def _unequal(invariant: Invariant, step: Step, detail: str, expected: Decimal, actual: Decimal) -> Iterator[Finding]:
    if expected != actual:
        difference = amount_text(subtract(actual, expected))
        yield Finding(
            invariant.name, step.stored.version, detail, amount_text(expected), amount_text(actual), difference
        )


INVARIANTS: dict[str, type[Invariant]] = {
    invariant.name: invariant
    for invariant in (
        Conservation,
        BasisSum,
        BasisBridge,
        InjectionNeutral,
        WithdrawalNeutral,
        BasisCommitPure,
        FillNeutral,
        BasisFloor,
    )
}
