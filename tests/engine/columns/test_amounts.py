"""The two columns of an amount add up to it exactly, and what does not fit is not split."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns.amounts import split_amount
from ledger.amounts import add

_DIGITS = st.integers(-(10**56) + 1, 10**56 - 1)


@given(_DIGITS, st.integers(0, 20))
def test_the_parts_add_up_to_the_amount_and_fit_their_columns(digits: int, zeros: int) -> None:
    amount = Decimal((int(digits < 0), tuple(map(int, str(abs(digits)).rjust(zeros, "0"))), -36))
    parts = split_amount(amount)
    assert parts is not None
    assert add(parts.main, parts.rest) == amount
    assert (parts.main.as_tuple().exponent, parts.rest.as_tuple().exponent) == (-18, -36)
    assert abs(parts.main) < Decimal("1e20")
    assert abs(parts.rest) < Decimal("1e-18")
    assert parts.main * amount >= 0
    assert parts.rest * amount >= 0


@pytest.mark.parametrize(
    ("amount", "main", "rest"),
    [
        ("0", "0", "0"),
        ("-0", "0", "0"),
        ("1E+19", "10000000000000000000", "0"),
        ("181.1375018324144", "181.1375018324144", "0"),
        ("-0.1234567890123456789", "-0.123456789012345678", "-0.0000000000000000009"),
        ("1E-36", "0", "1E-36"),
        # A cast would round this one up.
        ("0.0000000000000000019", "0.000000000000000001", "0.0000000000000000009"),
    ],
)
def test_parts(amount: str, main: str, rest: str) -> None:
    parts = split_amount(Decimal(amount))
    assert parts is not None
    assert parts == (Decimal(main), Decimal(rest))
    assert "-0" not in {str(part) for part in parts if not part}


@pytest.mark.parametrize(
    "amount", ["1E+20", "-100000000000000000000", "1E-37", "1.0000000000000000000000000000000000001"]
)
def test_what_does_not_fit_is_not_split(amount: str) -> None:
    assert split_amount(Decimal(amount)) is None
