"""Why an old total and a new one differ: every step of the old ledger, taken apart.

    last balance = opening + Σ changes + Σ capital events between the rows + Σ jumps          (see `chain`)

The book has the same capital events, its openings and its fills. So an asset's difference is exactly the sum of three
parts: the differences between fills and the changes of their rows, whatever only one side has, and the jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from engine.importers.legacy.chain import BalanceChain, BalanceStep, moved, noise_of
from engine.importers.legacy.columns import CAPITAL, FILLS, LEDGER
from engine.importers.legacy.pairing import fee_in
from engine.importers.legacy.rows import CapitalRow, FillRow
from ledger.amounts import add, negate, subtract, total

EXAMPLES = 3


class Kind(StrEnum):
    """The kind of a cause; its value is the text for people."""

    WRONG_SIDE = (
        "a capital event on the wrong side of the boundary: the ledger's balances do not include it at its time"
    )
    FILL_WITHOUT_ROW = "a fill without a ledger row"
    ROW_WITHOUT_FILL = "a ledger row without a fill"
    OPENING_UNKNOWN = "the first ledger row has neither a change nor a fill, so the balance before it is unknown"
    OPENING_DIFFERS = "the imported opening differs from the one that the ledger has now"
    FEE_NOT_TAKEN = "a fee that the ledger did not deduct"
    FILL_DIFFERS = "a fill that differs from its ledger row"
    JUMP = "a balance that moved by more than its row's change"
    FLOAT_RESIDUE = "float residue of the old engine"
    CORRECTED_HERE = "corrected in this book: a reversal, a correction or an adjustment with the reason reconciliation"
    RECORDED_OTHERWISE = "recorded here before under its transaction hash, with another basis or price than the old row"
    GONE = "imported earlier, and no longer in the old database"
    STARTING_VALUE_MOVED = "the old engine's starting value moved by more than its deposits and withdrawals"
    NOT_EXPLAINED = "not explained by the old rows"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of a difference.

    kind:      what caused it
    amount:    its part of the difference, in the figure's unit
    count:     how often it occurs
    examples:  the first few places
    """

    kind: Kind
    amount: Decimal
    count: int
    examples: tuple[str, ...]


@dataclass(slots=True)
class Causes:
    """Collects causes and sums them up by kind."""

    _found: dict[Kind, list[tuple[Decimal, str]]] = field(default_factory=dict)

    def add(self, kind: Kind, amount: Decimal, place: str) -> None:
        """Add a part of the difference and the place it comes from; a part of 0 is ignored."""
        if not amount.is_zero():
            self._found.setdefault(kind, []).append((amount, place))

    def of(self, difference: Decimal, rest: Kind = Kind.NOT_EXPLAINED) -> tuple[Cause, ...]:
        """The causes of a difference. They add up to it: whatever is not explained is attributed to `rest`."""
        known = total(amount for parts in self._found.values() for amount, _ in parts)
        self.add(rest, subtract(difference, known), "")
        return tuple(
            Cause(
                kind,
                total(amount for amount, _ in parts),
                len(parts),
                tuple(place for _, place in parts[:EXAMPLES] if place),
            )
            for kind, parts in sorted(self._found.items(), key=lambda item: list(Kind).index(item[0]))
        )


Posted = Callable[[FillRow], Decimal]


def find_causes(causes: Causes, chain: BalanceChain, posted: Posted, opening: Decimal) -> None:
    """Find the causes of an asset's difference in its chain.

    `posted`: what a fill's event moved of the asset. `opening`: the sum of the book's openings.
    """
    if chain.steps:
        first = chain.steps[0]
        before = total([moved(first.capital), *map(posted, chain.fills_in_opening)])
        beyond = subtract(opening, subtract(chain.opening, before))
        noise = noise_of(first.row.new_balance, first.change, chain.opening)
        kind = Kind.FLOAT_RESIDUE if beyond.copy_abs() <= noise else Kind.OPENING_DIFFERS
        causes.add(kind, beyond, f"{LEDGER} row {first.row.id}")
    capital = [*(event for step in chain.steps for event in step.capital), *chain.capital_after]
    previous = chain.opening
    for step in chain.steps:
        noise = noise_of(previous, step.row.new_balance, step.change)
        _step_causes(causes, chain.asset, step, posted, noise)
        _jump_causes(causes, step, capital, noise)
        previous = step.row.new_balance
    for fill in chain.fills_alone:
        causes.add(Kind.FILL_WITHOUT_ROW, posted(fill), f"{FILLS} row {fill.id}")


def _step_causes(causes: Causes, asset: str, step: BalanceStep, posted: Posted, noise: Decimal) -> None:
    """The difference between a row's fill and its change."""
    place = f"{LEDGER} row {step.row.id}"
    fill = step.fill
    if fill is None:
        kind = Kind.OPENING_UNKNOWN if step.told_by == "nothing" else Kind.ROW_WITHOUT_FILL
        causes.add(kind, negate(step.change), place)
        return
    off = subtract(posted(fill), step.change)
    fee = fee_in(fill, asset)
    if off.copy_abs() <= noise:
        causes.add(Kind.FLOAT_RESIDUE, off, place)
    elif not fee.is_zero() and add(off, fee).copy_abs() <= noise:
        causes.add(Kind.FEE_NOT_TAKEN, negate(fee), f"{FILLS} row {fill.id}")
        causes.add(Kind.FLOAT_RESIDUE, add(off, fee), place)
    else:
        causes.add(Kind.FILL_DIFFERS, off, f"{FILLS} row {fill.id}, {place}")


def _jump_causes(causes: Causes, step: BalanceStep, capital: Iterable[CapitalRow], noise: Decimal) -> None:
    """The movement of a balance beyond its row's change and the capital before it."""
    place = f"{LEDGER} row {step.row.id}"
    if step.jump.copy_abs() <= noise:
        causes.add(Kind.FLOAT_RESIDUE, negate(step.jump), place)
        return
    left_out = [(*step.capital,), *((event,) for event in step.capital)]
    taken_here = [(event,) for event in capital if event not in step.capital]
    guesses = [(events, negate(moved(events))) for events in left_out] + [
        (events, moved(events)) for events in taken_here
    ]
    for events, amount in guesses:
        if subtract(step.jump, amount).copy_abs() <= noise:
            ids = ", ".join(f"{CAPITAL} row {event.id}" for event in events)
            causes.add(Kind.WRONG_SIDE, negate(amount), f"{ids} at {place}")
            causes.add(Kind.FLOAT_RESIDUE, subtract(amount, step.jump), place)
            return
    causes.add(Kind.JUMP, negate(step.jump), place)
