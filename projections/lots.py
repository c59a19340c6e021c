"""Lots of an asset: what is open and what it cost, and in which order a method closes it.

A lot is a quantity of an asset and what it cost in the numeraire. A negative quantity is a short lot, whose cost is minus
what its sale brought. A move that goes against the open lots closes them, as many as the method chooses; what is left of it
opens a lot on the other side. A part of a lot takes its share of the cost, rounded half-even to 18 decimals, and the rest
stays in the lot (`ledger.amounts.share`), so that no digit is lost. A cost that is unknown is None; it never becomes 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal
from itertools import count
from typing import Literal, TypeAlias

from ledger.amounts import ZERO, add, share, subtract

# The price of one unit, to order lots by; never shown, and no figure is made of it.
_UNIT = Context(prec=60)
Cause: TypeAlias = Literal["fill", "deposit", "withdrawal", "adjustment", "fee"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The event that opened or closed a lot.

    at, version:  when it happened, UTC, and its version in its book
    book:         the book's name
    cause:        its type; `fee` for the fee part of a fill and for an adjustment that is a fee
    session_id:   the bot's run; None when it was not given
    strategy:     of a fill; None for other types, and when it was not given
    """

    at: datetime
    version: int
    book: str
    cause: Cause
    session_id: str | None = None
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Why a cost is unknown: the event (`origin`) at whose time an asset has no price."""

    asset: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Lot:
    """An open lot.

    asset:     the asset
    quantity:  how much is open, in the asset's own unit; negative: a short lot
    cost:      what that quantity cost, in the numeraire; of a short lot minus what it brought; None: unknown
    origin:    the event that opened it
    cost_in:   the cost in another currency, at the rate of its opening; None: unknown, or no currency was asked for
    price:     of one unit when the lot was opened, without fees, to 60 digits; HIFO and LOFO go by it; None: unknown
    unpriced:  the first reason why its cost is unknown; None when it is known
    """

    asset: str
    quantity: Decimal
    cost: Decimal | None
    origin: Origin
    cost_in: Decimal | None = None
    price: Decimal | None = None
    unpriced: Unpriced | None = None

    @property
    def unit_cost(self) -> Decimal | None:
        """The cost of one unit in the numeraire, to 60 digits; None when the cost is unknown."""
        return per_unit(self.cost, self.quantity)


def per_unit(worth: Decimal | None, quantity: Decimal) -> Decimal | None:
    """The worth of one unit, to 60 digits; None for None."""
    return None if worth is None else _UNIT.divide(worth, quantity)


@dataclass(frozen=True, slots=True)
class Disposal:
    """A lot, or a part of one, that was closed with a gain or a loss.

    asset:     the asset
    quantity:  how much was closed, > 0
    proceeds:  what it brought in the numeraire; of a short lot what its sale had brought; None: unknown
    cost:      what it had cost; of a short lot what buying it back cost; None: unknown
    opened:    the event that opened the lot
    closed:    the event that closed it
    is_short:  whether it was sold before it was bought
    proceeds_in, cost_in:  the two in another currency, each at the rate of its own time; None: unknown, or not asked for
    unpriced:  the first reason why the gain is unknown; None when it is known
    """

    asset: str
    quantity: Decimal
    proceeds: Decimal | None
    cost: Decimal | None
    opened: Origin
    closed: Origin
    is_short: bool
    proceeds_in: Decimal | None = None
    cost_in: Decimal | None = None
    unpriced: Unpriced | None = None

    @property
    def gain(self) -> Decimal | None:
        """proceeds − cost; None when either is unknown."""
        return None if self.proceeds is None or self.cost is None else subtract(self.proceeds, self.cost)


# A method says in which order lots are closed: the least key first.
Method: TypeAlias = Callable[[Lot, int], tuple[Decimal, int]]


def fifo(lot: Lot, number: int) -> tuple[Decimal, int]:
    """The lot that was opened first."""
    return ZERO, number


def lifo(lot: Lot, number: int) -> tuple[Decimal, int]:
    """The lot that was opened last."""
    return ZERO, -number


def hifo(lot: Lot, number: int) -> tuple[Decimal, int]:
    """The lot with the highest price; of short lots the one with the lowest. Lots of unknown price come last.

    Fees are no part of the price, so which lots are closed does not depend on the view of fees.
    """
    if lot.price is None:
        return Decimal("Infinity"), number
    return (lot.price if lot.quantity < 0 else lot.price.copy_negate()), number


def lofo(lot: Lot, number: int) -> tuple[Decimal, int]:
    """The lot with the lowest price; of short lots the one with the highest. Lots of unknown price come last."""
    order, number = hifo(lot, number)
    return (order if order.is_infinite() else order.copy_negate()), number


def average(lot: Lot, number: int) -> tuple[Decimal, int]:
    """All lots of an asset are one, at their average cost; its date is that of the first, since the asset was last at 0."""
    return ZERO, 0


METHODS: Mapping[str, Method] = {"average": average, "fifo": fifo, "lifo": lifo, "hifo": hifo, "lofo": lofo}


class OpenLots:
    """The open lots of one asset, all of one sign, in the order in which the method closes them."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._numbers = count()
        self._heap: list[tuple[tuple[Decimal, int], int, Lot]] = []

    def __iter__(self) -> Iterator[Lot]:
        return (lot for _, _, lot in sorted(self._heap, key=lambda entry: (entry[2].origin.at, entry[1])))

    @property
    def is_short(self) -> bool:
        """Whether they are short lots; False when there are none."""
        return bool(self._heap) and self._heap[0][2].quantity < 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def open(self, lot: Lot) -> None:
        """Add a lot of the same sign."""
        if self._method is average and self._heap:
            key, number, pool = self._heap[0]
            cost, cost_in = _sum(pool.cost, lot.cost), _sum(pool.cost_in, lot.cost_in)
            quantity = add(pool.quantity, lot.quantity)
            unpriced = pool.unpriced or lot.unpriced
            self._heap[0] = key, number, replace(pool, quantity=quantity, cost=cost, cost_in=cost_in, unpriced=unpriced)
            return
        number = next(self._numbers)
        heapq.heappush(self._heap, (self._method(lot, number), number, lot))

    def close(self, quantity: Decimal) -> tuple[list[Lot], Decimal]:
        """Take lots away, up to `quantity` > 0: the lots and the part of a lot that were taken, and how much is left."""
        taken: list[Lot] = []
        while self._heap and quantity:
            key, number, lot = self._heap[0]
            size = lot.quantity.copy_abs()
            if size <= quantity:
                heapq.heappop(self._heap)
                taken.append(lot)
                quantity = subtract(quantity, size)
                continue
            part = quantity.copy_sign(lot.quantity)
            (cost, rest), (cost_in, rest_in) = (_parted(of, quantity, size) for of in (lot.cost, lot.cost_in))
            taken.append(replace(lot, quantity=part, cost=cost, cost_in=cost_in))
            # The key stays: what is left of a lot keeps its place.
            left = subtract(lot.quantity, part)
            self._heap[0] = key, number, replace(lot, quantity=left, cost=rest, cost_in=rest_in)
            quantity = ZERO
        return taken, quantity


def _sum(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    return None if left is None or right is None else add(left, right)


def _parted(cost: Decimal | None, part: Decimal, whole: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """The share of a part in a cost, and what is left of it; None for an unknown cost."""
    if cost is None:
        return None, None
    of_part = share(cost, part, whole)
    return of_part, subtract(cost, of_part)
