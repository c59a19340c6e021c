"""Fees: what was paid per asset, and how many are unknown. A fee that was not reported is unknown; a fee of 0 is a fact."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.effects import Effects, Posting, negated
from projections.fees import EMPTY, apply


def paid(asset: str, amount: str) -> Effects:
    """The effects of a fill with this fee: the balance moves by its opposite."""
    return Effects("fill", own=Posting("X", Decimal(1)), fee=Posting(asset, Decimal(amount).copy_negate()))


UNKNOWN = Effects("fill", own=Posting("X", Decimal(1)), unknown_fees=1)


@pytest.mark.parametrize(
    ("effects", "expected", "unknown"),
    [
        ([], {}, 0),
        ([Effects("deposit", own=Posting("XRP", Decimal(5)))], {}, 0),
        ([paid("XRP", "0.01")], {"XRP": "0.01"}, 0),
        ([paid("XRP", "0.01"), paid("XRP", "0.02"), paid("BNB", "1e-18")], {"XRP": "0.03", "BNB": "1e-18"}, 0),
        ([paid("XRP", "0.01"), paid("XRP", "-0.03")], {"XRP": "-0.02"}, 0),  # a rebate
        ([paid("XRP", "0")], {"XRP": "0"}, 0),
        ([UNKNOWN], {}, 1),
        ([UNKNOWN, paid("XRP", "1"), UNKNOWN], {"XRP": "1"}, 2),
        ([paid("XRP", "0.01"), negated(paid("XRP", "0.01"))], {"XRP": "0"}, 0),
        ([UNKNOWN, UNKNOWN, negated(UNKNOWN)], {}, 1),
        (
            [paid("XRP", "99999999999999999999.999999999999999999")] * 2,
            {"XRP": "199999999999999999999.999999999999999998"},
            0,
        ),
    ],
)
def test_fees(effects: list[Effects], expected: dict[str, str], unknown: int) -> None:
    fees = EMPTY
    for one in effects:
        fees = apply(fees, one)
    assert dict(fees.paid) == {asset: Decimal(amount) for asset, amount in expected.items()}
    assert fees.unknown == unknown


def test_applying_changes_nothing_in_place() -> None:
    before = apply(EMPTY, paid("XRP", "1"))
    apply(before, paid("XRP", "1"))
    assert dict(before.paid) == {"XRP": Decimal(1)}
    assert dict(EMPTY.paid) == {}
