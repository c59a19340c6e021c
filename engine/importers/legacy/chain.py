"""The old running balances of one asset: its ledger rows in order, with the fills and the capital events between them.

A row's own effect is its `change`. Without such a column, it is the difference to the balance before it, less the capital in
between. A capital event is placed before the first row that is later than it. If their times are equal, the balances
decide: when the row's balance also moved by the event's amount, the event is placed before that row.

Whatever the old engine did, this equation is exact, and `reconciliation` finds its causes in it:

    last balance = opening + Σ changes + Σ capital events between the rows + Σ jumps

A jump is a movement of the balance that neither the row's change nor a capital event explains: a float's rounding, or more.

In a ledger of fills alone, the balances include the opening and the fills, but no capital event after the first row
(`Holds`). Then all of those events are placed after the last row, and the old total is the last balance plus all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate, compress
from typing import Literal

from engine.importers.legacy.pairing import Move, PairingRow, agreed_change, moves_of, pair
from engine.importers.legacy.rows import CapitalRow, FillRow, LedgerRow, LegacyRows
from ledger.amounts import ZERO, add, subtract, total, value

ToldBy = Literal["ledger", "fill", "nothing"]

# The error of adding two rounded floats is less than the sum of their sizes times this (2⁻⁵⁰).
_FLOAT_NOISE = Decimal("8.9e-16")


class Holds(StrEnum):
    """Which capital events after the first row the balances of an old ledger include."""

    TOTAL = "total"  # all of them, each from the next row on
    FILLS_ONLY = "fills-only"  # none


@dataclass(frozen=True, slots=True)
class BalanceStep:
    """A ledger row in its chain. Amounts in the asset's own unit.

    row:      the ledger row
    change:   its own effect on the balance
    capital:  the capital events between the row before and this one
    jump:     new balance − balance before − change − Σ capital
    fill:     the fill that it belongs to; None without one
    told_by:  where the change comes from: `ledger` (its column, or the balance before); for a first row, `fill`; or
              `nothing`, and the change is then chosen so that the opening is just the capital before it
    """

    row: LedgerRow
    change: Decimal
    capital: tuple[CapitalRow, ...]
    jump: Decimal
    fill: FillRow | None
    told_by: ToldBy


@dataclass(frozen=True, slots=True)
class BalanceChain:
    """One asset's ledger; amounts in the asset's own unit.

    asset:             the asset
    steps:             the ledger rows in order
    opening:           the balance before the first row, including the capital of the first step
    capital_after:     capital events after the last row
    fills_in_opening:  fills without a row that are earlier than the first row
    fills_alone:       all other fills without a row
    """

    asset: str
    steps: tuple[BalanceStep, ...] = ()
    opening: Decimal = ZERO
    capital_after: tuple[CapitalRow, ...] = ()
    fills_in_opening: tuple[FillRow, ...] = ()
    fills_alone: tuple[FillRow, ...] = ()

    @property
    def total(self) -> Decimal | None:
        """The old total: the last balance plus the capital after it; None when there are fills but no ledger rows."""
        if not self.steps and self.fills_alone:
            return None
        last = self.steps[-1].row.new_balance if self.steps else ZERO
        return add(last, moved(self.capital_after))


def moved(capital: Iterable[CapitalRow]) -> Decimal:
    """The signed sum of capital events."""
    return total(row.moved for row in capital)


def noise_of(*sizes: Decimal) -> Decimal:
    """The largest rounding error of adding up floats of these sizes."""
    return value(total(size.copy_abs() for size in sizes), _FLOAT_NOISE)


def chains_of(rows: LegacyRows, holds: Holds = Holds.TOTAL) -> dict[str, BalanceChain]:
    """The chain of every asset that occurs in the rows, sorted by asset."""
    assets = {row.asset for row in rows.ledger} | {
        row.asset for row in rows.capital if row.event_type != "basis_commit"
    }
    for fill in rows.fills:
        assets |= {fill.base_asset, fill.quote_asset} | ({fill.fee_asset} if fill.fee_asset else set())
    return {asset: _chain(asset, rows, holds) for asset in sorted(assets)}


def _chain(asset: str, rows: LegacyRows, holds: Holds) -> BalanceChain:
    ledger = [row for row in rows.ledger if row.asset == asset]
    capital = [row for row in rows.capital if row.asset == asset]
    moves = moves_of(rows.fills, asset)
    return _Builder(asset, ledger, sorted(capital, key=lambda row: row.time), moves, holds).build()


class _Builder:
    """Builds one chain. `_before[i]` has the capital events before row i, and its last entry those after all rows."""

    def __init__(
        self,
        asset: str,
        rows: Sequence[LedgerRow],
        capital: Sequence[CapitalRow],
        moves: Sequence[Move],
        holds: Holds,
    ) -> None:
        self._asset = asset
        # How many of the first rows may include the capital before them.
        self._holding = len(rows) if holds is Holds.TOTAL else 1
        self._rows = rows
        self._moves = moves
        self._times_of_capital = {event.time for event in capital}
        self._before: list[list[CapitalRow]] = [[] for _ in range(len(rows) + 1)]
        reached = list(accumulate((row.time for row in rows), max))  # a clock may have been set back
        for event in capital:
            place = bisect_right(reached, event.time)
            self._before[place if place < self._holding else len(rows)].append(event)

    def build(self) -> BalanceChain:
        candidates = [PairingRow(row, self._candidates(i), self._noise(i)) for i, row in enumerate(self._rows)]
        pairs = pair(candidates, self._moves)
        changes = [self._told_change(candidate, pairs.get(i)) for i, candidate in enumerate(candidates)]
        for i, change in enumerate(changes):
            if change is not None:
                self._settle_ties(i, change)
        return self._with_fills(tuple(self._step(i, change, pairs.get(i)) for i, change in enumerate(changes)))

    def _step(self, i: int, told: Decimal | None, move: Move | None) -> BalanceStep:
        by_ledger = i > 0 or self._rows[i].change is not None
        change = self._beyond(i, ZERO) if told is None else told
        return BalanceStep(
            row=self._rows[i],
            change=change,
            capital=tuple(self._before[i]),
            jump=self._beyond(i, change) if i else ZERO,
            fill=move.fill if move else None,
            told_by="nothing" if told is None else "ledger" if by_ledger else "fill",
        )

    def _with_fills(self, steps: tuple[BalanceStep, ...]) -> BalanceChain:
        paired = {step.fill.id for step in steps if step.fill is not None}
        alone = [move.fill for move in self._moves if move.fill.id not in paired]
        start = steps[0].row.time if steps and steps[0].told_by != "nothing" else None
        is_earlier = [start is not None and fill.time < start for fill in alone]
        return BalanceChain(
            asset=self._asset,
            steps=steps,
            opening=subtract(steps[0].row.new_balance, steps[0].change) if steps else ZERO,
            capital_after=tuple(self._before[-1]),
            fills_in_opening=tuple(compress(alone, is_earlier)),
            fills_alone=tuple(fill for fill, earlier in zip(alone, is_earlier, strict=True) if not earlier),
        )

    def _candidates(self, i: int) -> tuple[Decimal, ...]:
        """The possible own effects of a row: its column; or else the difference of the balances, less capital or not."""
        change = self._rows[i].change
        if change is not None:
            return (change,)
        if i == 0:
            return ()
        without = self._beyond(i, ZERO)
        return without, add(without, moved(self._before[i])), subtract(without, moved(self._ties(i)))

    def _told_change(self, candidate: PairingRow, move: Move | None) -> Decimal | None:
        """A row's own effect; None for a first row for which it cannot be told."""
        if move is not None:
            agreed = agreed_change(candidate, move)
            if agreed is not None:
                return agreed
        if candidate.changes:
            return candidate.changes[0]
        return move.amounts[-1] if move is not None and move.amounts else None

    def _beyond(self, i: int, change: Decimal) -> Decimal:
        """The movement of the balance at row i beyond a change and the capital before it; the first row starts at 0."""
        row = self._rows[i]
        start = self._rows[i - 1].new_balance if i else ZERO
        return subtract(subtract(row.new_balance, start), add(change, moved(self._before[i])))

    def _noise(self, i: int) -> Decimal:
        return noise_of(self._rows[i].new_balance, self._rows[i - 1].new_balance if i else ZERO)

    def _ties(self, i: int) -> list[CapitalRow]:
        """The capital events with the same time as row i that are placed after it."""
        time = self._rows[i].time
        if time not in self._times_of_capital or i >= self._holding:
            return []
        return [event for slot in self._before[i + 1 :] for event in slot if event.time == time]

    def _settle_ties(self, i: int, change: Decimal) -> None:
        """Place the events with the same time as row i before it, if its balance includes them."""
        beyond, ties = self._beyond(i, change), self._ties(i)
        allowed = add(self._noise(i), noise_of(change))
        for taken in (ties, *([event] for event in ties)):
            amount = moved(taken)
            if not amount.is_zero() and subtract(beyond, amount).copy_abs() <= allowed:
                for slot in self._before[i + 1 :]:
                    slot[:] = [event for event in slot if event not in taken]
                self._before[i] += taken
                return
