"""The exposure gate: how much of the numeraire the quotes may accumulate, decided in one place.

A quote that would raise the numeraire's balance (an ask) may stand while `balance + size ≤ limit`. The session calls the
gate, and `trace` describes a gate by calling it; it finds its module and name from the function itself. A worked example,
size 15 and limit 120: at a balance of 97.6, the threshold is 105 and the headroom 22.4; one more fill fits, and after it
the ask is gated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal

from ledger.amounts import SUM_DIGITS_BEFORE_POINT, ZERO, add, subtract

Gate = Callable[[Decimal, Decimal, Decimal], bool]

GATED_SIDE = "ask"
_WIDE = Context(prec=2 * SUM_DIGITS_BEFORE_POINT, rounding=ROUND_FLOOR)


def quote_may_stand(balance: Decimal, size: Decimal, limit: Decimal) -> bool:
    """Whether a quote that would raise the balance by `size` may stand. All in the numeraire."""
    return add(balance, size) <= limit


@dataclass(frozen=True, slots=True)
class Variable:
    """A parameter of the gate and its current value, in the numeraire."""

    name: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Trace:
    """What a gate does at a balance. Amounts in the numeraire.

    module, function:      where the gate is
    variables:             its parameters
    side:                  the side that is gated
    balance, size, limit:  the numeraire's balance, the size of a quote, the limit
    threshold:             the highest balance at which a quote may stand
    headroom:              limit − balance
    fits:                  whether a quote may stand now
    fills_left:            how many more fills of the whole size fit
    """

    module: str
    function: str
    variables: tuple[Variable, ...]
    side: str
    balance: Decimal
    size: Decimal
    limit: Decimal
    threshold: Decimal
    headroom: Decimal
    fits: bool
    fills_left: int


def trace(balance: Decimal, size: Decimal, limit: Decimal, gate: Gate = quote_may_stand) -> Trace:
    """Describe a gate at a balance; `size` > 0."""
    names = inspect.signature(gate).parameters
    headroom = subtract(limit, balance)
    return Trace(
        module=gate.__module__,
        function=gate.__qualname__,
        variables=tuple(Variable(name, now) for name, now in zip(names, (balance, size, limit), strict=True)),
        side=GATED_SIDE,
        balance=balance,
        size=size,
        limit=limit,
        threshold=subtract(limit, size),
        headroom=headroom,
        fits=gate(balance, size, limit),
        fills_left=int(_WIDE.divide_int(max(headroom, ZERO), size)),
    )
