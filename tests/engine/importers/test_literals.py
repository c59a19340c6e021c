"""What Python writes for objects is read with exact numbers, and never run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.importers.literals import read_literal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'cost': 0.12345678901234567890, 'n': -1e-7}", {"cost": Decimal("0.1234567890123456789"), "n": Decimal("-1e-7")}),
        ("[('BNB', Decimal('0.10')), None, True, 7]", [("BNB", Decimal("0.10")), None, True, 7]),
        ("12345678901234567890", Decimal("12345678901234567890")),
    ],
)  # fmt: skip
def test_digits_stay(text: str, expected: Any) -> None:
    assert read_literal(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "f()", "Decimal(1)", "Decimal('x')", "{1: 2}", "{**a}", "1e999999999999999999999", "(" * 9000, "1 + 1",
        "x" * 70_000,
    ],
)  # fmt: skip
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"literal|text|finite|number"):
        read_literal(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner)
        ),
        max_leaves=6,
    )
)
def test_what_python_writes_is_read_back(value: Any) -> None:
    assert read_literal(repr(value)) == value
