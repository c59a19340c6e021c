"""The money-weighted rate: it makes the flows worth 0, and where it does not exist or is not the only one, that is said."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.money_weighted import money_weighted

D = Decimal
Given = list[tuple[int, str]]


def rate_of(flows: Given) -> tuple[float | None, str | None]:
    return money_weighted([(date(2026, 1, 1) + timedelta(days=day), D(amount)) for day, amount in flows])


@pytest.mark.parametrize(
    ("flows", "rate"),
    [
        ([(0, "-100"), (365, "110")], 0.1),
        ([(0, "-100"), (730, "121")], 0.1),
        ([(0, "0"), (10, "-100"), (375, "110")], 0.1),
        ([(0, "100"), (365, "-110")], 0.1),
        ([(0, "-100"), (7, "150")], 1.5 ** (365 / 7) - 1),  # few days make large yearly rates, and they are rates
        ([(0, "-122.05"), (3, "148.55")], (148.55 / 122.05) ** (365 / 3) - 1),
        ([(0, "-100"), (1, "110")], 1.1**365 - 1),
        ([(0, "-100"), (1, "90")], -1),
        ([(0, "-100"), (7, "50")], -1),
    ],
)
def test_the_one_rate_that_makes_the_flows_worth_0(flows: Given, rate: float) -> None:
    found, reason = rate_of(flows)
    assert reason is None
    assert found == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize(
    "flows",
    [
        [(0, "-1000"), (100, "400"), (365, "700")],
        [(0, "-100"), (31, "50"), (59, "-80"), (90, "140")],
        [(0, "-100"), (2, "10"), (4, "-10"), (7, "150")],
    ],
)
def test_at_the_rate_the_flows_are_worth_0(flows: Given) -> None:
    found, reason = rate_of(flows)
    assert reason is None
    assert found is not None
    assert sum(float(amount) / (1 + found) ** (day / 365) for day, amount in flows) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("flows", "why"),
    [
        ([(0, "10")], "the flows lie within one day"),
        ([(0, "-100"), (365, "-5")], "money went one way only"),
        ([(0, "-100"), (365, "0")], "money went one way only"),
        ([(0, "-100"), (365, "230"), (730, "-132")], "2 rates make the flows worth 0"),
        ([(0, "-100"), (100, "400"), (300, "-310")], "2 rates make the flows worth 0"),
        ([(0, "-100"), (365, "100"), (730, "-100")], "no rate makes the flows worth 0"),
        ([(0, "-100"), (1, "100000")], "the rate is too large as a yearly one"),
    ],
)
def test_where_there_is_no_rate_the_reason_is_said(flows: Given, why: str) -> None:
    assert rate_of(flows) == (None, why)


@given(
    rate=st.floats(-0.9, 20),
    flows=st.lists(st.tuples(st.integers(1, 900), st.integers(-500, 500)), max_size=5, unique_by=lambda flow: flow[0]),
)
def test_a_rate_that_is_given_is_found_or_not_the_only_one(rate: float, flows: list[tuple[int, int]]) -> None:
    """Flows whose first is made such that they are worth 0 at a rate."""
    later = [(day, amount) for day, amount in sorted(flows) if amount]
    first = -sum(amount / (1 + rate) ** (day / 365) for day, amount in later)
    if not later or abs(first) < 1:
        return
    found, reason = rate_of([(0, f"{first:.15f}"), *((day, str(amount)) for day, amount in later)])
    if found is None:
        assert reason is not None
        assert reason.endswith("rates make the flows worth 0") or "no rate" in reason  # two that nearly coincide
    else:
        assert found == pytest.approx(rate, rel=1e-3, abs=1e-3)
