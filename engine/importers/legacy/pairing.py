"""Which ledger row belongs to which fill: by id if there is one, otherwise by amount, order and time.

Rows and fills were written in the same order, so one pass over both lists is enough. A row belongs to a fill when its change
fits the fill's amounts and no neighbour that also fits is closer in time: orders often have one size, so many rows fit
many fills. When a row and a fill do not fit, the earlier of the two stays unpaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from engine.importers.legacy.rows import FillRow, LedgerRow
from ledger.amounts import ZERO, add, negate, subtract, value

# A quantity is exact; a quote amount is the product with a price that may have been rounded for display.
_BASE_TOLERANCE = Decimal("0.000001")
_QUOTE_TOLERANCE = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Move:
    """What a fill did to one asset, by its own figures.

    fill:       the fill
    amounts:    the signed change without the fee, then with it if it was taken in this asset; empty when unknown
    sign:       1 or −1, even when the amounts are unknown
    tolerance:  how far a ledger row may differ, relative to the amount
    """

    fill: FillRow
    amounts: tuple[Decimal, ...]
    sign: int
    tolerance: Decimal


@dataclass(frozen=True, slots=True)
class PairingRow:
    """A ledger row to be paired.

    row:      the row
    changes:  its possible changes, the most likely first; empty when nothing tells
    noise:    the rounding error of its floats
    """

    row: LedgerRow
    changes: tuple[Decimal, ...]
    noise: Decimal


def moves_of(fills: Iterable[FillRow], asset: str) -> list[Move]:
    """The moves of an asset, one for each fill that touches it, in their order."""
    return [move for fill in fills if (move := _move(fill, asset)) is not None]


def own_quote(fill: FillRow) -> Decimal | None:
    """A fill's quote amount by its own figures: as stored, or else quantity × price; None when neither is known."""
    if fill.quote_amount is not None:
        return fill.quote_amount
    return None if fill.price is None else value(fill.quantity, fill.price)


def fee_in(fill: FillRow, asset: str) -> Decimal:
    """The fee of a fill in an asset; 0 also when it is unknown."""
    return fill.fee_amount or ZERO if fill.fee_asset == asset else ZERO


def _move(fill: FillRow, asset: str) -> Move | None:
    sign = 1 if fill.side == "buy" else -1
    fee = fee_in(fill, asset)
    if asset == fill.base_asset:
        return _with_fee(fill, fill.quantity, sign, fee, _BASE_TOLERANCE)
    if asset == fill.quote_asset:
        return _with_fee(fill, own_quote(fill), -sign, fee, _QUOTE_TOLERANCE)
    if fee.is_zero():
        return None
    return Move(fill, (negate(fee),), -1 if fee > 0 else 1, _BASE_TOLERANCE)


def _with_fee(fill: FillRow, amount: Decimal | None, sign: int, fee: Decimal, tolerance: Decimal) -> Move:
    if amount is None:
        return Move(fill, (), sign, tolerance)
    gross = amount if sign > 0 else negate(amount)
    amounts = (gross,) if fee.is_zero() else (gross, subtract(gross, fee))
    return Move(fill, amounts, sign, tolerance)


def agreed_change(row: PairingRow, move: Move) -> Decimal | None:
    """The first of a row's possible changes that fits the fill; None when none fits."""
    for change in row.changes:
        if not move.amounts and (change > 0) is (move.sign > 0):
            return change
        for amount in move.amounts:
            allowed = add(value(amount.copy_abs(), move.tolerance), row.noise)
            if subtract(change, amount).copy_abs() <= allowed:
                return change
    return None


def pair(rows: Sequence[PairingRow], moves: Sequence[Move]) -> dict[int, Move]:
    """Pair rows and fills: by the index of each row that belongs to a fill, that fill's move."""
    by_fill = {move.fill.id: move for move in moves}
    found: dict[int, Move] = {}
    for index, row in enumerate(rows):
        move = by_fill.pop(row.row.fill_id, None) if row.row.fill_id is not None else None
        if move is not None:
            found[index] = move
    left = [index for index, row in enumerate(rows) if index not in found]
    unlinked = [move for move in moves if move.fill.id in by_fill]
    pairs = _pair_in_order([rows[index] for index in left], unlinked)
    return found | {left[index]: move for index, move in pairs.items()}


def _pair_in_order(rows: Sequence[PairingRow], moves: Sequence[Move]) -> dict[int, Move]:
    found: dict[int, Move] = {}
    i = j = 0
    while i < len(rows) and j < len(moves):
        if _fits(rows, i, moves, j) and _is_nearest(rows, i, moves, j):
            found[i] = moves[j]
            i, j = i + 1, j + 1
            continue
        skips_row, skips_move = _left_alone(rows, i, moves, j)
        i, j = i + skips_row, j + skips_move
    return found


def _fits(rows: Sequence[PairingRow], i: int, moves: Sequence[Move], j: int) -> bool:
    if i >= len(rows) or j >= len(moves):
        return False
    return not rows[i].changes or agreed_change(rows[i], moves[j]) is not None


def _is_nearest(rows: Sequence[PairingRow], i: int, moves: Sequence[Move], j: int) -> bool:
    """Whether neither the next fill is a closer fit for this row, nor the next row for this fill."""
    apart = _apart(rows[i].row.time, moves[j].fill.time)
    if _fits(rows, i, moves, j + 1) and _apart(rows[i].row.time, moves[j + 1].fill.time) < apart:
        # If as many rows as fills are left, pairing them one to one is as good: then the rows were written late.
        return len(rows) - i == len(moves) - j
    return not (_fits(rows, i + 1, moves, j) and _apart(rows[i + 1].row.time, moves[j].fill.time) < apart)


def _apart(one: datetime, other: datetime) -> timedelta:
    return abs(one - other)


def _left_alone(rows: Sequence[PairingRow], i: int, moves: Sequence[Move], j: int) -> tuple[bool, bool]:
    """Whether the row, and whether the fill, stays unpaired: the earlier one; at equal times, the one that blocks a fit."""
    row_time, fill_time = rows[i].row.time, moves[j].fill.time
    if row_time != fill_time:
        return row_time < fill_time, fill_time < row_time
    if _fits(rows, i, moves, j + 1):
        return False, True
    if _fits(rows, i + 1, moves, j):
        return True, False
    return True, True
