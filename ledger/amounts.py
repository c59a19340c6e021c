"""Exact decimal amounts: how they are read, written, added and multiplied.

No binary float comes near an amount. An amount has at most 20 digits before the point and 36 after it
(`NUMERIC(56,36)`): XRPL tokens have 16 significant digits, and dust of them needs more than 18 decimals. What does not
fit is refused, never rounded. Sums may be wider (`NUMERIC(76,36)`).

Python's default decimal context keeps 28 digits and rounds silently:

    >>> Decimal("12345678901234567890.123456789012345678") + 0      # in the default context
    Decimal('12345678901234567890.12345679')

so all arithmetic goes through the functions of this module, which use a context of their own that is wide enough for
every product and sum of the program and traps `Inexact`. The caller's context is neither used nor changed. The one
rounding in the core is half-even to 18 decimals: `value`, amount times price, and `share`, the cost of a part of a lot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
)

from ledger.errors import Refusal
from ledger.refusal_texts import refuse

DIGITS_BEFORE_POINT = 20
DIGITS_AFTER_POINT = 36
SUM_DIGITS_BEFORE_POINT = 40
VALUE_DIGITS_AFTER_POINT = 18

ZERO = Decimal(0)

# 132 digits hold a balance (76) times a price (56) exactly; the rest is room for sums of such values.
_PRECISION = 200
_TRAPS = [InvalidOperation, DivisionByZero, Overflow, Underflow]
_EXACT = Context(prec=_PRECISION, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999, flags=[], traps=[*_TRAPS, Inexact])
_ROUNDING = Context(prec=_PRECISION, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999, flags=[], traps=_TRAPS)
_QUANTUM = Decimal((0, (1,), -VALUE_DIGITS_AFTER_POINT))

_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def parse_amount(given: object, *, digits_before_point: int = DIGITS_BEFORE_POINT) -> Decimal:
    """The exact decimal that a text stands for.

    Accepts `-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]{1,3})?` in ASCII digits, and from library callers an int or a finite
    Decimal. Limits are checked by value, so trailing zeros do not count. Raises Refused: `number_not_quoted` for a
    number without quotes in JSON, `amount_malformed`, `amount_out_of_range`, `amount_too_precise`.
    """
    if type(given) is int:  # exact; not a bool, and not a bare number of JSON
        return _fitting(Decimal(given), digits_before_point, str(given))
    if isinstance(given, Decimal):
        if not given.is_finite():
            refuse(Refusal.AMOUNT_MALFORMED, actual=str(given))
        return _fitting(given, digits_before_point, str(given))
    if not isinstance(given, str):
        refuse(Refusal.NUMBER_NOT_QUOTED, actual=given)
    if not _AMOUNT.fullmatch(given):
        refuse(Refusal.AMOUNT_MALFORMED, actual=given)
    return _fitting(Decimal(given), digits_before_point, given)


def _fitting(number: Decimal, digits_before_point: int, given: str) -> Decimal:
    """The number, if it is within the limits; trailing zeros do not count as decimals."""
    if number.is_zero():
        return ZERO
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # finite
    if number.adjusted() >= digits_before_point:
        refuse(Refusal.AMOUNT_OUT_OF_RANGE, actual=given, most=digits_before_point)
    if exponent < -DIGITS_AFTER_POINT and any(digits[DIGITS_AFTER_POINT + exponent :]):
        refuse(Refusal.AMOUNT_TOO_PRECISE, actual=given, most=DIGITS_AFTER_POINT)
    return number


def amount_text(amount: Decimal) -> str:
    """The canonical text of an amount: no exponent, no trailing zeros, no `-0`. Equal amounts have equal texts."""
    if not amount:
        return "0"
    text = str(amount)  # four times as quick as format, but it may have an exponent, as the caller's context writes it
    if "E" in text or "e" in text:
        text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown_amount(amount: Decimal) -> str:
    """An amount for people: all of its digits, and at least two decimals (`85.00`, `0.000001`)."""
    text = amount_text(amount)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"


def add(left: Decimal, right: Decimal) -> Decimal:
    """left + right, exactly."""
    return _EXACT.add(left, right)


def subtract(left: Decimal, right: Decimal) -> Decimal:
    """left - right, exactly."""
    return _EXACT.subtract(left, right)


def negate(amount: Decimal) -> Decimal:
    """-amount, exactly; never `-0`."""
    return amount.copy_negate() if amount else ZERO


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum; 0 for no amounts."""
    result = ZERO
    for amount in amounts:
        result = _EXACT.add(result, amount)
    return result


def value(amount: Decimal, price: Decimal) -> Decimal:
    """amount * price, rounded half-even to 18 decimals, of any size. The only rounding in the core."""
    return _ROUNDING.quantize(_EXACT.multiply(amount, price), _QUANTUM)


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """amount * part / whole, rounded half-even to 18 decimals; `whole` must not be 0."""
    return _ROUNDING.quantize(_ROUNDING.divide(_EXACT.multiply(amount, part), whole), _QUANTUM)


def fits(amount: Decimal) -> bool:
    """Whether a value has at most 20 digits before the point."""
    return amount.is_zero() or amount.adjusted() < DIGITS_BEFORE_POINT
