"""Fees: what was paid per asset, and how many are unknown. A fee that was not reported is unknown; a fee of 0 is a fact."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.effects import Effects, Posting, negated
from ledger.stored import StoredEvent
from projections.fees import EMPTY, apply
from tests.support import START


def paid(asset: str, amount: str) -> Effects:
    """The effects of a fill with this fee: the balance moves by its opposite."""
    return Effects("fill", own=Posting("X", Decimal(1)), fee=Posting(asset, Decimal(amount).copy_negate()))


def adjusted(asset: str, amount: str) -> Effects:
    """The effects of an adjustment."""
    return Effects("adjustment", own=Posting(asset, Decimal(amount)))


def recorded(effects: Effects, reason: str | None = None) -> StoredEvent:
    """An event with these effects, as the log holds it."""
    return StoredEvent(
        book="main",
        version=2,
        event_id="e",
        key="k",
        type=effects.effect_of,
        at=START,
        recorded_at=START,
        session_id=None,
        asset=effects.own.asset if effects.own else None,
        price=None,
        reverses=None,
        effects=effects,
        body=b"",
        hash=b"",
        tx_hash=None,
        reason=reason,
        strategy=None,
    )


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
        fees = apply(fees, recorded(one))
    assert dict(fees.paid) == {asset: Decimal(amount) for asset, amount in expected.items()}
    assert fees.unknown == unknown


@pytest.mark.parametrize(
    ("reason", "counts"),
    [("network_fee", True), ("fee", True), ("clawback", False), ("fees", False), ("reward", False), (None, False)],
)
def test_adjustments_for_fees_are_fees(reason: str | None, counts: bool) -> None:
    """And less the reversed ones: a reversal has the reason of what it reverses."""
    fees = apply(EMPTY, recorded(adjusted("XRP", "-0.000012"), reason))
    assert dict(fees.paid) == ({"XRP": Decimal("0.000012")} if counts else {})
    fees = apply(fees, recorded(negated(adjusted("XRP", "-0.000012")), reason))
    assert dict(fees.paid) == ({"XRP": Decimal(0)} if counts else {})
    assert fees.unknown == 0


def test_applying_changes_nothing_in_place() -> None:
    before = apply(EMPTY, recorded(paid("XRP", "1")))
    apply(before, recorded(paid("XRP", "1")))
    assert dict(before.paid) == {"XRP": Decimal(1)}
    assert dict(EMPTY.paid) == {}
