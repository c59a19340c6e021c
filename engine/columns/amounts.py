"""Amounts as columns of fixed width: what an analytic engine can add up without rounding.

An amount has up to 36 decimals, and no engine has a decimal that holds 20 digits before the point and 36 after it. So an
amount is kept in two columns whose sum is the amount: `decimal(38,18)`, and `decimal(38,36)` for the digits beyond 18,
which is nearly always 0. Both are made from the amount's digits, never by a cast: DuckDB's rounds silently.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from ledger.amounts import DIGITS_AFTER_POINT, DIGITS_BEFORE_POINT, amount_text

WIDTH = 38
SCALE = 18
REST_SCALE = 36


class SplitAmount(NamedTuple):
    """An amount in two parts of the same sign; their exact sum is the amount."""

    main: Decimal  # at most 20 digits before the point and 18 after it
    rest: Decimal  # the digits beyond 18, nearer to 0 than 10⁻¹⁸


def split_amount(amount: Decimal) -> SplitAmount | None:
    """The two parts of an amount or a sum; None when it does not fit, and has to be folded from its text."""
    whole, _, decimals = amount_text(amount.copy_abs()).partition(".")
    if len(whole) > DIGITS_BEFORE_POINT or len(decimals) > DIGITS_AFTER_POINT:
        return None
    sign = int(amount.is_signed() and not amount.is_zero())
    decimals = decimals.ljust(REST_SCALE, "0")
    return SplitAmount(
        _decimal(sign, whole + decimals[:SCALE], SCALE),
        _decimal(sign, decimals[SCALE:], REST_SCALE),
    )


def _decimal(sign: int, digits: str, scale: int) -> Decimal:
    return Decimal((sign if digits.strip("0") else 0, tuple(map(int, digits)), -scale))
