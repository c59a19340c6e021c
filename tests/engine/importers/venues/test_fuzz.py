"""Garbage in: every reader says that a file is unreadable or a row is odd, and never breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.importers.items import Contract, Kind, PassedOver, QuarantinedRow, Row, Sample, Unreadable
from engine.importers.venues import binance, coinbase, freqtrade, hummingbot, kraken, xrpl
from tests.engine.importers.venues.ledger_objects import ISSUER, ME, account, line, offer, transaction
from tests.engine.importers.venues.venues_support import read

# Of the profile's examples: there are many tests.
FEWER = settings(max_examples=settings().max_examples * 2 // 5)
KINDS = (xrpl.KIND, kraken.KIND, binance.KIND, coinbase.KIND, hummingbot.KIND, freqtrade.KIND)
HEADERS = {
    kraken.KIND: (
        "txid,refid,time,type,subtype,aclass,asset,amount,fee,balance",
        "txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers",
    ),
    binance.KIND: (
        "Date(UTC),Pair,Side,Price,Executed,Amount,Fee",
        "User_ID,UTC_Time,Account,Operation,Coin,Change,Remark",
        "Time(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Realized Profit,Quote Asset",
    ),
    coinbase.KIND: (
        "portfolio,trade id,product,side,created at,size,size unit,price,fee,total,price/fee/total unit",
        "portfolio,type,time,amount,balance,amount/balance unit,transfer id,trade id,order id",
        "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Subtotal,Total,Fees,Notes",
    ),
    hummingbot.KIND: (
        "exchange_trade_id,strategy,market,symbol,base_asset,quote_asset,timestamp,order_id,trade_type,price,amount,leverage,"
        "trade_fee,position,age",
    ),
}
cells = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "-0",
            "1",
            "-1.5",
            "1e-40",
            "1e999",
            "9" * 30,
            "NaN",
            "Infinity",
            "1,5",
            "2024-01-01 00:00:00",
            "9999-12-31 23:59:59",
            "1704067200000",
            "XRP",
            "XRPUSDT",
            "XRP-USDT",
            "XRP/USD",
            "buy",
            "SELL",
            "trade",
            "deposit",
            "withdrawal",
            "Deposit",
            "Fee",
            "Buy",
            "match",
            "fee",
            "10XRP",
            "5USDT",
            "Convert",
            "Converted 1 A to 2 B",
            "margin",
            "transfer",
            "spottostaking",
            "{}",
            "[]",
            '{"percent": "x"}',
            "[" * 500,
            "\x00",
            "=",
            "a b",
            "\ud800",
            "é" * 300,
        ]
    ),
    st.text(max_size=12),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), cells.filter(lambda text: "\ud800" not in text)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                [
                    "result",
                    "transactions",
                    "tx",
                    "tx_json",
                    "meta",
                    "AffectedNodes",
                    "ModifiedNode",
                    "FinalFields",
                    "PreviousFields",
                    "Balance",
                    "LowLimit",
                    "value",
                    "Account",
                    "TransactionType",
                    "date",
                    "Fee",
                    "trades",
                    "pair",
                    "open_rate",
                    "amount",
                    "open_date",
                    "fee_open",
                    "orders",
                    "strategy",
                    "refid",
                    "time",
                    "type",
                    "asset",
                    "fee",
                ]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=20,
)


def take(kind: Kind, text: str) -> None:
    """Read a text; whatever comes out is an item, or the file is unreadable."""
    kind.recognises(Sample("no such file", text.encode("utf-8", "surrogatepass")))
    try:
        items = read(kind, text, account=ME)
    except Unreadable:
        return
    for item in items:
        assert isinstance(item, Row | QuarantinedRow | PassedOver | Contract)
        assert not isinstance(item, Row) or item.facts


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@FEWER
@given(text=st.text(max_size=200))
def test_any_text(kind: Kind, text: str) -> None:
    take(kind, text)


@pytest.mark.parametrize(
    ("kind", "header"), [(kind, header) for kind, headers in HEADERS.items() for header in headers]
)
@FEWER
@given(data=st.data())
def test_any_cells_below_a_header(kind: Kind, header: str, data: st.DataObject) -> None:
    width = header.count(",") + 1
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=4))
    quoted = ['"' + '","'.join(cell.replace('"', '""') for cell in row) + '"' for row in rows]
    take(kind, "\n".join([header, *quoted]))


@pytest.mark.parametrize("kind", [xrpl.KIND, kraken.KIND, freqtrade.KIND], ids=lambda kind: kind.name)
@FEWER
@given(value=json_values)
def test_any_json(kind: Kind, value: Any) -> None:
    take(kind, json.dumps(value))


@given(data=st.data())
def test_a_transaction_with_something_else_somewhere(data: st.DataObject) -> None:
    """One value of a sound transaction is replaced, or left out."""
    nodes = (account(ME, 5, 1), line(ME, ISSUER, "1", "2"), offer(ME, 5, ("9", "5"), ("8", "4")))
    entry = transaction("OfferCreate", ME, *nodes, meta={"delivered_amount": "1"}, Destination=ME)
    place: Any = entry
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    if data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(json_values)
    take(xrpl.KIND, json.dumps({"result": {"transactions": [entry]}}))
