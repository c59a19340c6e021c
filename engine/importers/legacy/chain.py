"""The old running balances of one asset: its ledger rows in order, with the fills and the capital events between them.

What a row itself did is its `change`; where there is no such column it is the difference to the balance before it, less the
capital in between. A capital event stands before the first row that is later than it. Where two times are equal they cannot
tell, and the balances do: when a row's balance moved by the event's amount, too, the event stands before that row.

Whatever the old engine did, this holds exactly, and `reconciliation` takes its causes from it:

    last balance = opening + Σ changes + Σ capital events between the rows + Σ jumps

A jump is what the balance moved by that neither the row's change nor a capital event tells: a float's rounding, or more.

In a ledger of fills alone the balances hold the opening and the fills, and no capital event after the first row: then all of
those stand after the last row (`Holds`), and the old total is the last balance and all of them.
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

# Adding two floats, each of them rounded, is off by less than the sum of their sizes times this (2⁻⁵⁰).
_FLOAT_NOISE = Decimal("8.9e-16")


class Holds(StrEnum):
    """What the balances of an old ledger hold of the capital events after its first row."""

    TOTAL = "total"  # each of them, from the next row on
    FILLS_ONLY = "fills-only"  # none


@dataclass(frozen=True, slots=True)
class BalanceStep:
    """A ledger row. `change`: what it did itself. `capital`: the events between the row before and this one.

    `jump`: new balance − balance before − change − Σ capital. `fill`: the one that it belongs to, None without one.
    `told_by`: what tells the change: the `ledger`, by a column or by the balance before; for a first row else its `fill`;
    else `nothing`, and the change is what leaves an opening of the capital before it and no more.
    """

    row: LedgerRow
    change: Decimal
    capital: tuple[CapitalRow, ...]
    jump: Decimal
    fill: FillRow | None
    told_by: ToldBy


@dataclass(frozen=True, slots=True)
class BalanceChain:
    """One asset's ledger; all in the asset's own unit.

    `opening`: the balance before the first row; the capital of the first step is in it. `capital_after`: events later than
    the last row. `fills_in_opening`: fills earlier than the first row that have no row; `fills_alone`: all other fills
    that have none.
    """

    asset: str
    steps: tuple[BalanceStep, ...] = ()
    opening: Decimal = ZERO
    capital_after: tuple[CapitalRow, ...] = ()
    fills_in_opening: tuple[FillRow, ...] = ()
    fills_alone: tuple[FillRow, ...] = ()

    @property
    def total(self) -> Decimal | None:
        """The old total: the last balance and the capital events after it; None where there were fills and no row."""
        if not self.steps and self.fills_alone:
            return None
        last = self.steps[-1].row.new_balance if self.steps else ZERO
        return add(last, moved(self.capital_after))


def moved(capital: Iterable[CapitalRow]) -> Decimal:
    """The sum of what capital events moved, signed."""
    return total(row.moved for row in capital)


def noise_of(*sizes: Decimal) -> Decimal:
    """What floats of these sizes can be off by when they are added up."""
    return value(total(size.copy_abs() for size in sizes), _FLOAT_NOISE)


def chains_of(rows: LegacyRows, holds: Holds = Holds.TOTAL) -> dict[str, BalanceChain]:
    """The chain of each asset that is named anywhere, sorted by asset."""
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
    """Builds one chain. `_before[i]`: the capital events before row i; the last entry, those after all rows."""

    def __init__(
        self,
        asset: str,
        rows: Sequence[LedgerRow],
        capital: Sequence[CapitalRow],
        moves: Sequence[Move],
        holds: Holds,
    ) -> None:
        self._asset = asset
        # How many of the first rows may hold the capital before them.
        self._holding = len(rows) if holds is Holds.TOTAL else 1
        self._rows = rows
        self._moves = moves
        self._times_of_capital = {event.time for event in capital}
        self._before: list[list[CapitalRow]] = [[] for _ in range(len(rows) + 1)]
        reached = list(accumulate((row.time for row in rows), max))  # a clock may have been put back
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
        """What a row may have done itself: as its column says; else the difference without capital, or with it."""
        change = self._rows[i].change
        if change is not None:
            return (change,)
        if i == 0:
            return ()
        without = self._beyond(i, ZERO)
        return without, add(without, moved(self._before[i])), subtract(without, moved(self._ties(i)))

    def _told_change(self, candidate: PairingRow, move: Move | None) -> Decimal | None:
        """What a row did itself; None for a first row of which nothing tells."""
        if move is not None:
            agreed = agreed_change(candidate, move)
            if agreed is not None:
                return agreed
        if candidate.changes:
            return candidate.changes[0]
        return move.amounts[-1] if move is not None and move.amounts else None

    def _beyond(self, i: int, change: Decimal) -> Decimal:
        """What the balance moved by at row i beyond a change and the capital before it; a first row moved from 0."""
        row = self._rows[i]
        start = self._rows[i - 1].new_balance if i else ZERO
        return subtract(subtract(row.new_balance, start), add(change, moved(self._before[i])))

    def _noise(self, i: int) -> Decimal:
        return noise_of(self._rows[i].new_balance, self._rows[i - 1].new_balance if i else ZERO)

    def _ties(self, i: int) -> list[CapitalRow]:
        """The capital events of the same time as row i, which stand after it."""
        time = self._rows[i].time
        if time not in self._times_of_capital or i >= self._holding:
            return []
        return [event for slot in self._before[i + 1 :] for event in slot if event.time == time]

    def _settle_ties(self, i: int, change: Decimal) -> None:
        """Put before row i the events of its time that its balance has."""
        beyond, ties = self._beyond(i, change), self._ties(i)
        allowed = add(self._noise(i), noise_of(change))
        for taken in (ties, *([event] for event in ties)):
            amount = moved(taken)
            if not amount.is_zero() and subtract(beyond, amount).copy_abs() <= allowed:
                for slot in self._before[i + 1 :]:
                    slot[:] = [event for event in slot if event not in taken]
                self._before[i] += taken
                return
