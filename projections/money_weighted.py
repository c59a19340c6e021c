"""The money-weighted rate of return: the yearly rate at which all flows of the owner are worth 0 (XIRR, actual/365)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from math import exp, isfinite, log

DAYS_OF_A_YEAR = 365
# Rates are looked for evenly in u = ln(1 + rate) as far as −99.995 % and 2,200,000 %, beyond that by ever longer steps.
_STEP, _EVEN_UP_TO = 0.025, 10.0

Flows = Sequence[tuple[date, Decimal]]


def money_weighted(flows: Flows) -> tuple[float | None, str | None]:
    """The yearly rate of the flows as a fraction, and where it is None, why.

    flows: by day, in order; what was put in is negative, what was taken out or is there at the end is positive.
    """
    from pyxirr import xirr

    if len(flows) < 2:
        return None, "the flows lie within one day"
    count = roots(flows)
    if count is None:
        return None, "money went one way only"
    if count != 1:
        return None, "no rate makes the flows worth 0" if count == 0 else f"{count} rates make the flows worth 0"
    rate = xirr([day for day, _ in flows], [amount for _, amount in flows])
    if rate is None or not isfinite(rate):
        return None, "the rate is too large as a yearly one"
    return rate, None


def roots(flows: Flows) -> int | None:
    """How many rates make the flows worth 0, as far as a fine grid shows; None where all flows have one sign."""
    given = [(day, amount) for day, amount in flows if amount]
    changes = _changes([amount > 0 for _, amount in given])
    if changes <= 1:
        return changes or None  # Descartes: flows that change their sign once have exactly one such rate
    first = given[0][0]
    terms = [((day - first).days / DAYS_OF_A_YEAR, log(abs(amount)), amount > 0) for day, amount in given]
    return _changes([_is_worth_more_than_0(terms, u) for u in _grid(terms)])


def _changes(signs: Sequence[bool]) -> int:
    return sum(one != other for one, other in pairwise(signs))


def _is_worth_more_than_0(terms: Sequence[tuple[float, float, bool]], u: float) -> bool:
    """Whether the flows are worth more than 0 at the rate e^u − 1.

    terms: years, the logarithm of the amount's size, and whether the amount is > 0
    """
    sizes = [size - u * years for years, size, _ in terms]
    largest = max(sizes)  # taken out of the sum, so that nothing overflows
    worth = sum(
        exp(size - largest) if is_in else -exp(size - largest) for size, (_, _, is_in) in zip(sizes, terms, strict=True)
    )
    return worth > 0


def _grid(terms: Sequence[tuple[float, float, bool]]) -> Iterator[float]:
    """Where to look, ascending: beyond the ends the first or the last flow outweighs all others."""
    largest = max(size for _, size, _ in terms) + log(len(terms))
    highest = 1 + (largest - terms[0][1]) / (terms[1][0] - terms[0][0])
    lowest = 1 + (largest - terms[-1][1]) / (terms[-1][0] - terms[-2][0])
    yield from (-u for u in reversed(list(_steps(lowest))))
    yield 0.0
    yield from _steps(highest)


def _steps(end: float) -> Iterator[float]:
    """From one step to the first that is not before the end."""
    at, step = 0.0, _STEP
    while at < end:
        at += step
        if at > _EVEN_UP_TO:
            step = at * _STEP
        yield at
