"""`xrpl` against a simple model: balances before and after, and the metadata that tell of the difference."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.importers.items import PassedOver, QuarantinedRow, Row
from engine.importers.venues import xrpl
from engine.importers.venues.reading import postings
from engine.importers.venues.xrpl.balances import balance_changes, currency_name
from engine.importers.venues.xrpl.nodes import nodes_of
from ledger.amounts import subtract
from tests.engine.importers.venues.ledger_objects import (
    FAKE,
    ISSUER,
    ME,
    OTHER,
    RLUSD,
    account,
    amount,
    line,
    new_account,
    offer,
    page,
    transaction,
)
from tests.engine.importers.venues.venues_support import read

PEERS = (OTHER, ISSUER, FAKE)
KINDS = (
    "OfferCreate", "Payment", "AMMDeposit", "AMMWithdraw", "TrustSet", "Clawback", "CheckCash", "EscrowCreate",
    "AccountDelete",    "NFTokenAcceptOffer", "SomethingNew",
)  # fmt: skip

# What a trust line can hold: 16 digits, with an exponent.
held = st.builds(
    lambda digits, exponent: Decimal((0, (digits,), 0)) if digits == 0 else Decimal(digits).scaleb(exponent),
    st.integers(-(10**16) + 1, 10**16 - 1),
    st.integers(-20, 3),
).filter(lambda value: value == 0 or -36 < value.adjusted() < 20)
drops = st.integers(0, 10**12)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Decimal]]:
    """Affected nodes, and what each asset of mine changed by."""
    nodes, changes = [], {}
    if draw(st.booleans()):
        before, after = draw(drops), draw(drops)
        is_new = draw(st.booleans())
        nodes.append(new_account(ME, after) if is_new else account(ME, before, after))
        changes["XRP"] = Decimal(after - (0 if is_new else before)).scaleb(-6)
    for peer, currency in draw(st.sets(st.tuples(st.sampled_from(PEERS), st.sampled_from(["USD", RLUSD])), max_size=4)):
        held_before, held_after = draw(held), draw(held)
        how = draw(st.sampled_from(["modified", "created", "deleted"]))
        mine_before = Decimal(0) if how == "created" else held_before
        mine_after = Decimal(0) if how == "deleted" else held_after
        sign = draw(st.sampled_from([1, -1]))
        told = [
            None if how == name else str(sign * value)
            for name, value in (("created", held_before), ("deleted", held_after))
        ]
        low, high = (ME, peer) if sign == 1 else (peer, ME)
        nodes.append(line(low, high, told[0], told[1], currency))
        changes[f"{currency_name(currency)}.{peer}"] = subtract(mine_after, mine_before)
        if draw(st.booleans()):  # somebody else's line
            nodes.append(line(peer, "rSTRANGERaaaaaaaaaaaaaaaaaaaaaaaaa", str(held_before), str(held_after), currency))
    return nodes, {asset: change for asset, change in changes.items() if change}


offers = st.builds(
    lambda owner, sequence, gets, pays: offer(
        owner,
        sequence,
        (str(max(gets)), str(min(gets))),
        (amount(str(max(pays))), amount(str(min(pays)))),
    ),
    st.sampled_from([ME, OTHER]),
    st.integers(1, 99),
    st.tuples(drops, drops),
    st.tuples(held.map(abs), held.map(abs)),
)


@given(world=worlds())
def test_balance_changes_are_after_minus_before(world: tuple[list[dict[str, Any]], dict[str, Decimal]]) -> None:
    nodes, changes = world
    assert balance_changes(list(nodes_of({"AffectedNodes": nodes})), ME) == changes


@given(
    world=worlds(),
    taken=st.lists(offers, max_size=3),
    kind=st.sampled_from(KINDS),
    sender=st.sampled_from([ME, OTHER]),
    destination=st.sampled_from([ME, OTHER]),
    fee=st.integers(0, 5000),
    result=st.sampled_from(["tesSUCCESS", "tecPATH_DRY"]),
    delivered=st.sampled_from([None, "1000000", amount("2.5"), "unavailable"]),
)
def test_postings_are_the_balance_changes_or_nothing_goes_in(
    world: tuple[list[dict[str, Any]], dict[str, Decimal]],
    taken: list[dict[str, Any]],
    kind: str,
    sender: str,
    destination: str,
    fee: int,
    result: str,
    delivered: Any,
) -> None:
    nodes, changes = world
    meta = {} if delivered is None else {"delivered_amount": delivered}
    entry = transaction(kind, sender, *nodes, *taken, fee=fee, result=result, meta=meta, Destination=destination)
    items = read(xrpl.KIND, page(entry), account=ME)
    found = [item for item in items if isinstance(item, Row)]
    if not found:
        (item,) = items
        assert isinstance(item, QuarantinedRow | PassedOver)
        assert isinstance(item, QuarantinedRow) or not changes
        return
    assert len(found) == len(items)
    assert postings(fact for row in found for fact in row.facts) == changes
    assert len({row.id for row in found}) == len(found)
