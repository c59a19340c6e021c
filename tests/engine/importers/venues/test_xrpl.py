"""`xrpl`: the traps of the ledger's metadata, one by one."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.importers.items import Item, Movement, Sample
from engine.importers.venues import xrpl
from ledger.events import Fill
from tests.engine.importers.venues.ledger_objects import (
    FAKE,
    HASH,
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
    token,
    transaction,
)
from tests.engine.importers.venues.venues_support import net, passed_over, read, reasons, rows, told

HELD = f"RLUSD.{ISSUER}"
MPT = "000003C31D321B7DDA58324DC38CDF18934FAFFFCDF69D5F"


def items_of(*entries: dict[str, Any], **settings: Any) -> list[Item]:
    return read(xrpl.KIND, page(*entries), **{"account": ME, "numeraire": HELD, **settings})


def taken() -> dict[str, Any]:
    """I offer XRP for RLUSD and take another's offer: 10 XRP for 25 RLUSD, and 12 drops of fee."""
    return transaction(
        "OfferCreate",
        ME,
        account(ME, 100_000_012, 90_000_000),
        account(OTHER, 5_000_000, 15_000_000),
        line(ME, ISSUER, "1.5", "26.5"),
        line(OTHER, ISSUER, "100", "75"),
        offer(OTHER, 5, (amount("30"), amount("5")), ("12000000", "2000000")),
    )


def test_the_senders_fee_is_an_event_of_its_own() -> None:
    items = items_of(taken())
    assert told(items) == [f"sell 10 XRP for 25 {HELD}", "network_fee -0.000012 XRP"]
    (row,) = rows(items)
    assert row.id == f"{HASH}:7:{ME}"
    assert row.order == (90000000, 3, 0)
    assert row.at == datetime(2024, 1, 1, tzinfo=UTC)  # 757382400 seconds after the start of 2000
    assert [vars(fact)["tx_hash"] for fact in row.facts] == [HASH, HASH]


def test_the_one_whose_offer_is_taken_pays_no_fee() -> None:
    items = items_of(taken(), account=OTHER)
    assert told(items) == [f"buy 10 XRP for 25 {HELD}"]
    (row,) = rows(items)
    assert (row.id, vars(row.facts[0])["liquidity"]) == (f"{HASH}:5:{OTHER}", "maker")


def test_a_delegate_pays_the_fee() -> None:
    entry = taken()
    entry["tx"]["Delegate"] = FAKE
    entry["meta"]["AffectedNodes"][0] = account(ME, 100_000_000, 90_000_000)
    assert told(items_of(entry)) == [f"sell 10 XRP for 25 {HELD}"]
    entry["meta"]["AffectedNodes"].append(account(FAKE, 1_000_012, 1_000_000))
    assert told(items_of(entry, account=FAKE)) == ["network_fee -0.000012 XRP"]


def test_one_transaction_fills_several_of_my_offers() -> None:
    entry = transaction(
        "OfferCreate",
        OTHER,
        account(ME, 100_000_000, 70_000_000),
        line(ME, ISSUER, "0", "61"),
        offer(ME, 5, ("10000000", "0"), (amount("20"), amount("0")), is_gone=True),
        offer(ME, 6, ("25000000", "5000000"), (amount("51.25"), amount("10.25"))),
    )
    items = items_of(entry)
    assert told(items) == [f"sell 10 XRP for 20 {HELD}", f"sell 20 XRP for 41 {HELD}"]
    assert [row.id for row in rows(items)] == [f"{HASH}:5:{ME}", f"{HASH}:6:{ME}"]
    assert [row.order[2] for row in rows(items)] == [0, 1]


def test_the_trust_line_is_the_truth_and_the_residual_is_noted() -> None:
    """The offers say 61, the line moved by 60.999999999999: the parts are in proportion, and their sum is the line's."""
    entry = transaction(
        "OfferCreate",
        OTHER,
        account(ME, 100_000_000, 70_000_000),
        line(ME, ISSUER, "0", "60.999999999999"),
        offer(ME, 5, ("10000000", "0"), (amount("20"), amount("0")), is_gone=True),
        offer(ME, 6, ("25000000", "5000000"), (amount("51.25"), amount("10.25"))),
    )
    items = items_of(entry)
    assert net(items) == {"XRP": "-30", HELD: "60.999999999999"}
    fills = [row.facts[0] for row in rows(items)]
    assert len(fills) == 2
    for fill in fills:
        assert isinstance(fill, Fill)
        assert str(fill.source_note).endswith("the offers by 61: residual -0.000000000001")


def test_an_offer_that_was_only_cancelled_is_no_fill() -> None:
    gone = {"DeletedNode": {"LedgerEntryType": "Offer", "FinalFields": {"Account": ME, "Sequence": 5}}}
    items = items_of(transaction("OfferCancel", ME, account(ME, 1_000_012, 1_000_000), gone))
    assert told(items) == ["network_fee -0.000012 XRP"]


def test_offers_of_two_pairs_in_one_transaction() -> None:
    """A trade bridged over XRP takes two of my offers: the XRP comes and goes."""
    other = f"EUR.{OTHER}"
    entry = transaction(
        "Payment",
        FAKE,
        line(ME, ISSUER, "100", "80"),
        line(ME, OTHER, "0", "18", "EUR"),
        offer(ME, 5, (amount("20"), amount("0")), ("9000000", "0"), is_gone=True),
        offer(ME, 6, ("9000000", "0"), (amount("18", "EUR", OTHER), amount("0", "EUR", OTHER)), is_gone=True),
    )
    items = items_of(entry)
    assert net(items) == {HELD: "-20", other: "18"}
    assert len(rows(items)) == 2


def test_an_asset_is_currency_and_issuer() -> None:
    entry = transaction(
        "OfferCreate", ME, line(ME, ISSUER, "10", "0"), line(ME, FAKE, "0", "10"), account(ME, 1_000_012, 1_000_000)
    )
    assert net(items_of(entry)) == {HELD: "-10", f"RLUSD.{FAKE}": "10", "XRP": "-0.000012"}


@pytest.mark.parametrize("alias", [HELD, f"{RLUSD}.{ISSUER}"])
def test_an_alias_names_the_asset_as_the_book_does(alias: str) -> None:
    items = items_of(taken(), aliases={alias: "RLUSD"}, numeraire="RLUSD")
    assert told(items)[0] == "sell 10 XRP for 25 RLUSD"


def test_the_low_and_the_high_account_see_opposite_signs() -> None:
    entry = transaction("Payment", OTHER, line(ISSUER, ME, "-1.5", "-26.5"), Destination=ME)
    assert told(items_of(entry)) == [f"in 25 {HELD}"]


def test_a_payment_delivers_what_arrived() -> None:
    entry = transaction(
        "Payment", OTHER, line(ME, ISSUER, "1", "1.25"), Destination=ME, Amount=amount("1000000"), DestinationTag=42,
        Flags=131072, meta={"delivered_amount": amount("0.25")},
    )  # fmt: skip
    items = items_of(entry)
    assert told(items) == [f"in 0.25 {HELD}"]
    movement = rows(items)[0].facts[0]
    assert isinstance(movement, Movement)
    assert (movement.tx_hash, movement.reference, movement.source_note) == (
        HASH,
        "destination tag 42",
        f"payment from {OTHER}",
    )


def test_a_payment_that_arrives_while_my_offer_is_taken_is_both() -> None:
    entry = transaction(
        "Payment",
        OTHER,
        account(ME, 50_000_000, 44_000_000),
        line(ME, ISSUER, "0", "15"),
        offer(ME, 5, ("10000000", "4000000"), (amount("25"), amount("10"))),
        Destination=ME,
        meta={"delivered_amount": "0"},
    )
    entry["meta"]["delivered_amount"] = "1000000"
    entry["meta"]["AffectedNodes"][0] = account(ME, 50_000_000, 45_000_000)
    items = items_of(entry)
    assert sorted(told(items)) == ["in 1 XRP", f"sell 6 XRP for 15 {HELD}"]


@pytest.mark.parametrize(
    ("meta", "fields", "expected"),
    [
        ({"DeliveredAmount": "1000000"}, {"Amount": "9000000"}, ["in 1 XRP", f"sell 6 XRP for 15 {HELD}"]),
        ({}, {"Amount": "1000000"}, ["in 1 XRP", f"sell 6 XRP for 15 {HELD}"]),
        ({"delivered_amount": "unavailable"}, {"DeliverMax": "1000000"}, ["in 1 XRP", f"sell 6 XRP for 15 {HELD}"]),
        # A partial payment's Amount is not what arrived.
        ({}, {"Amount": "1000000", "Flags": 0x00020000}, []),
    ],
)
def test_what_was_delivered_is_said_or_the_whole(
    meta: dict[str, Any], fields: dict[str, Any], expected: list[str]
) -> None:
    nodes = (
        account(ME, 50_000_000, 45_000_000),
        line(ME, ISSUER, "0", "15"),
        offer(ME, 5, ("10000000", "4000000"), (amount("25"), amount("10"))),
    )
    items = items_of(transaction("Payment", OTHER, *nodes, Destination=ME, meta=meta, **fields))
    assert sorted(told(items)) == expected
    assert bool(reasons(items)) == (not expected)


def test_a_payment_that_takes_an_offer_of_the_senders_own() -> None:
    """10 RLUSD are sent, and an offer of the sender's own gets them back for 4 XRP, which arrive elsewhere."""
    entry = transaction(
        "Payment",
        ME,
        account(ME, 50_000_012, 46_000_000),
        offer(ME, 5, ("10000000", "6000000"), (amount("25"), amount("15"))),
        Destination=OTHER,
        meta={"delivered_amount": "4000000"},
    )
    items = items_of(entry)
    assert sorted(told(items)) == ["network_fee -0.000012 XRP", f"out 10 {HELD}", f"sell 4 XRP for 10 {HELD}"]
    assert net(items) == {"XRP": "-4.000012"}


def test_a_payment_creates_an_account() -> None:
    entry = transaction(
        "Payment", OTHER, new_account(ME, 20_000_000), account(OTHER, 50_000_012, 30_000_000), Destination=ME
    )
    assert told(items_of(entry)) == ["in 20 XRP"]
    assert told(items_of(entry, account=OTHER)) == ["out 20 XRP", "network_fee -0.000012 XRP"]


def test_a_payment_to_oneself_is_a_trade() -> None:
    entry = transaction(
        "Payment", ME, account(ME, 20_000_012, 10_000_000), line(ME, ISSUER, None, "25"), Destination=ME
    )
    items = items_of(entry)
    assert told(items) == [f"sell 10 XRP for 25 {HELD}", "network_fee -0.000012 XRP"]


def test_an_amm_has_no_offer_node() -> None:
    entry = taken()
    entry["meta"]["AffectedNodes"].pop()
    assert told(items_of(entry)) == [f"sell 10 XRP for 25 {HELD}", "network_fee -0.000012 XRP"]


LP = "03930D02208264E2E40EC1B0C09E4DB96EE197B1"


def test_what_goes_into_a_pool_becomes_lp_tokens() -> None:
    """The first LP trust line is a created one."""
    entry = transaction(
        "AMMDeposit",
        ME,
        account(ME, 20_000_012, 10_000_000),
        line(ME, ISSUER, "25", "0.000000000000001"),
        line(ME, OTHER, None, "158.1138830084", LP),
    )
    items = items_of(entry)
    assert not reasons(items)
    assert set(told(items)) == {
        f"liquidity -24.999999999999999 {HELD}",
        "liquidity -10 XRP",
        f"liquidity 158.1138830084 {LP}.{OTHER}",
        "network_fee -0.000012 XRP",
    }
    groups = {getattr(fact, "group", HASH) for fact in rows(items)[0].facts if vars(fact)["reason"] == "liquidity"}
    assert groups == {HASH}


def test_a_transaction_without_a_hash_is_known_by_its_content() -> None:
    entry = transaction("AMMWithdraw", ME, account(ME, 1_000_012, 11_000_000), line(ME, OTHER, "158", None, LP))
    del entry["tx"]["hash"]
    (row,) = rows(items_of(entry))
    assert row.id is None
    groups = {getattr(fact, "group", f"{ME}:7") for fact in row.facts if vars(fact)["reason"] == "liquidity"}
    assert groups == {f"{ME}:7"}


def test_what_comes_out_of_a_pool_takes_lp_tokens_with_it() -> None:
    entry = transaction(
        "AMMWithdraw", ME, account(ME, 1_000_012, 11_000_000), line(ME, OTHER, "158.1138830084", None, LP)
    )
    assert set(told(items_of(entry))) == {
        f"liquidity -158.1138830084 {LP}.{OTHER}",
        "liquidity 10 XRP",
        "network_fee -0.000012 XRP",
    }


def test_multi_purpose_tokens_move() -> None:
    entry = transaction("Payment", OTHER, token(ME, MPT, None, "100"), Destination=ME)
    assert told(items_of(entry)) == [f"in 100 MPT:{MPT}"]
    entry = transaction(
        "Payment", ME, token(ME, MPT, "100", "40"), account(ME, 1_000_012, 1_000_000), Destination=OTHER
    )
    assert told(items_of(entry)) == [f"out 60 MPT:{MPT}", "network_fee -0.000012 XRP"]


def escrowed(owner: str, before: tuple[str, str], after: tuple[str, str]) -> dict[str, Any]:
    """A holding with a part in escrow: (held, locked) before and after; amounts of 0 are left out, as servers do."""
    names = ("MPTAmount", "LockedAmount")
    fields = {name: given for name, given in zip(names, after, strict=True) if given != "0"}
    was = {name: given for name, given, then in zip(names, before, after, strict=True) if given not in ("0", then)}
    fields |= {"Account": owner, "MPTokenIssuanceID": MPT}
    return {"ModifiedNode": {"LedgerEntryType": "MPToken", "FinalFields": fields, "PreviousFields": was}}


@pytest.mark.parametrize(
    ("kind", "nodes", "expected"),
    [
        ("EscrowCreate", [escrowed(ME, ("100", "0"), ("0", "100"))], "out 100"),
        ("EscrowCreate", [escrowed(ME, ("100", "0"), ("60", "40"))], "out 40"),
        ("EscrowCancel", [escrowed(ME, ("0", "100"), ("100", "0"))], "in 100"),
        ("EscrowCancel", [escrowed(ME, ("60", "40"), ("100", "0"))], "in 40"),
        # Finished: what was locked arrives elsewhere, and what is held does not move.
        ("EscrowFinish", [escrowed(ME, ("100", "40"), ("100", "0")), escrowed(OTHER, ("0", "0"), ("40", "0"))], None),
        (
            "EscrowFinish",
            [escrowed(OTHER, ("100", "40"), ("100", "0")), escrowed(ME, ("0", "0"), ("40", "0"))],
            "in 40",
        ),
        # To oneself.
        ("EscrowFinish", [escrowed(ME, ("0", "40"), ("40", "0"))], "in 40"),
    ],
)
def test_tokens_in_escrow(kind: str, nodes: list[dict[str, Any]], expected: str | None) -> None:
    items = items_of(transaction(kind, OTHER, *nodes))
    assert told(items) == ([] if expected is None else [f"{expected} MPT:{MPT}"])
    assert not reasons(items)


def test_a_token_that_only_changed_its_flags_does_not_move() -> None:
    entry = transaction("MPTokenAuthorize", OTHER, token(ME, MPT, None, "100"))
    entry["meta"]["AffectedNodes"][0]["ModifiedNode"]["PreviousFields"] = {"Flags": 0}
    assert passed_over(items_of(entry)) == ["nothing of the account moved"]


@pytest.mark.parametrize("result", ["tecUNFUNDED_OFFER", "tecPATH_DRY", "tecAMM_BALANCE"])
def test_a_failed_transaction_costs_its_fee(result: str) -> None:
    entry = transaction("OfferCreate", ME, account(ME, 1_000_012, 1_000_000), result=result)
    assert told(items_of(entry)) == ["network_fee -0.000012 XRP"]


def test_a_failed_transaction_takes_no_more_than_there_is() -> None:
    entry = transaction("Payment", ME, account(ME, 7, 0), fee=12, result="tecUNFUNDED_PAYMENT", Destination=OTHER)
    assert told(items_of(entry)) == ["network_fee -0.000007 XRP"]


def test_a_clawback_is_no_withdrawal() -> None:
    entry = transaction("Clawback", ISSUER, line(ME, ISSUER, "25", "5"))
    assert told(items_of(entry)) == [f"clawback -20 {HELD}"]


def test_a_frozen_line_moves_nothing() -> None:
    frozen = line(ME, ISSUER, "25", "25")
    frozen["ModifiedNode"]["PreviousFields"] = {"Flags": 65536}
    assert passed_over(items_of(transaction("TrustSet", ISSUER, frozen))) == ["nothing of the account moved"]


def test_a_deleted_trust_line_still_moves_its_balance() -> None:
    entry = transaction(
        "Payment", ME, line(ME, ISSUER, "25", None), account(ME, 1_000_012, 1_000_000), Destination=OTHER
    )
    assert told(items_of(entry)) == [f"out 25 {HELD}", "network_fee -0.000012 XRP"]


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("EscrowCreate", "out 5 XRP"),
        ("PaymentChannelCreate", "out 5 XRP"),
        ("CheckCash", "out 5 XRP"),
        ("NFTokenAcceptOffer", "nft -5 XRP"),
        ("AccountDelete", "out 5 XRP"),
    ],
)
def test_what_else_takes_xrp_away(kind: str, fact: str) -> None:
    entry = transaction(kind, ME, account(ME, 10_000_012, 5_000_000), Destination=OTHER)
    assert told(items_of(entry)) == [fact, "network_fee -0.000012 XRP"]


def test_what_ripples_through_is_a_conversion() -> None:
    entry = transaction("Payment", OTHER, line(ME, ISSUER, "25", "15", "USD"), line(ME, FAKE, "0", "10", "USD"))
    assert sorted(told(items_of(entry))) == [f"conversion -10 USD.{ISSUER}", f"conversion 10 USD.{FAKE}"]


def test_dust_that_moves_one_side_only_is_rounding() -> None:
    entry = transaction(
        "OfferCreate",
        OTHER,
        account(ME, 10_000_000, 9_999_999),
        offer(ME, 5, ("10", "9"), (amount("1e-20"), amount("0"))),
    )
    assert told(items_of(entry)) == ["rounding -0.000001 XRP"]


def test_what_is_not_understood_is_quarantined_with_its_residual() -> None:
    items = items_of(transaction("SomethingNew", OTHER, account(ME, 10_000_000, 4_000_000)))
    assert reasons(items) == ["it is not clear what this SomethingNew was to the account; residual: -6 XRP"]
    assert not rows(items)


def test_what_does_not_fit_36_decimals_is_quarantined() -> None:
    items = items_of(transaction("Payment", OTHER, line(ME, ISSUER, "0", "1e-40"), Destination=ME))
    rows_with_it = [fact for row in rows(items) for fact in row.facts]
    # A movement is checked where it lands; a trade when its event is made.
    assert all(isinstance(fact, Movement) for fact in rows_with_it)
    entry = taken()
    entry["meta"]["AffectedNodes"][2] = line(ME, ISSUER, "0", "1e-40")
    assert "residual" in reasons(items_of(entry))[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entry: entry.update(validated=False), "not validated"),
        (lambda entry: entry["meta"].update(TransactionResult="tefPAST_SEQ"), "not applied to the ledger"),
    ],
)
def test_what_is_not_in_the_ledger_is_passed_over(change: Any, reason: str) -> None:
    entry = taken()
    change(entry)
    assert passed_over(items_of(entry)) == [reason]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entry: entry["tx"].update(NetworkID=21338), "a transaction of another network, 21338"),
        (lambda entry: entry.pop("meta"), "a transaction without its metadata"),
        (lambda entry: entry.update(meta="2010"), "binary metadata: ask with binary=false"),
        (lambda entry: entry["tx"].pop("date"), "no time: the entry has neither date nor close_time_iso"),
        (
            lambda entry: entry["meta"].update(AffectedNodes=[1]),
            "an affected node is neither created, modified nor deleted",
        ),
    ],
)
def test_what_cannot_be_read_is_quarantined(change: Any, reason: str) -> None:
    entry = taken()
    change(entry)
    assert reasons(items_of(entry)) == [reason]


def envelopes() -> dict[str, str]:
    entry = taken()
    tx = {name: value for name, value in entry["tx"].items() if name not in ("hash", "date", "ledger_index")}
    outer = {"hash": HASH, "ledger_index": 90000000, "close_time_iso": "2024-01-01T00:00:00Z", "validated": True}
    flat = {**entry["tx"], "meta": entry["meta"], "validated": True}
    in_ledger = {**tx, "hash": HASH, "metaData": entry["meta"]}
    return {
        "account_tx v2": json.dumps({"result": {"transactions": [{"tx_json": tx, "meta": entry["meta"], **outer}]}}),
        "pages": json.dumps([{"result": {"transactions": [entry]}}]),
        "tx v1": json.dumps({"result": flat}),
        "tx v2": json.dumps({"result": {"tx_json": tx, "meta": entry["meta"], **outer}}),
        "flat": json.dumps(flat),
        "NDJSON": json.dumps(entry) + "\n",
        "stream": json.dumps(
            {"type": "transaction", "transaction": entry["tx"], "meta": entry["meta"], "validated": True}
        ),
        "ledger": json.dumps(
            {"result": {"ledger": {"ledger_index": "90000000", "close_time": 757382400, "transactions": [in_ledger]}}}
        ),
    }


@pytest.mark.parametrize("name", list(envelopes()))
def test_each_envelope_gives_the_same_row(name: str) -> None:
    (row,) = rows(read(xrpl.KIND, envelopes()[name], account=ME, numeraire=HELD))
    (same,) = rows(items_of(taken()))
    assert (row.id, row.at, row.order, row.facts) == (same.id, same.at, same.order, same.facts)


def test_a_token_paid_with_a_ticket_has_its_sequence() -> None:
    entry = taken()
    entry["tx"].update(Sequence=0, TicketSequence=99)
    assert rows(items_of(entry))[0].id == f"{HASH}:99:{ME}"


def test_two_accounts_of_one_book_have_keys_of_their_own() -> None:
    entry = taken()
    both = [rows(items_of(copy.deepcopy(entry), account=name))[0].id for name in (ME, OTHER)]
    assert len(set(both)) == 2


def test_it_is_recognised() -> None:
    assert xrpl.KIND.recognises(Sample("file", page(taken()).encode()))
    assert not xrpl.KIND.recognises(Sample("file", b'{"symbol": "XRP/USDT"}'))
