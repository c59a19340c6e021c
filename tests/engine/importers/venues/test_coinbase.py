"""`coinbase`: Pro's two files, and the export of transactions, old and new."""

from __future__ import annotations

import pytest

from engine.importers.items import Item, Sample
from engine.importers.venues import coinbase
from tests.engine.importers.venues.venues_support import net, passed_over, read, reasons, rows, told

FILLS = "portfolio,trade id,product,side,created at,size,size unit,price,fee,total,price/fee/total unit"
ACCOUNT = "portfolio,type,time,amount,balance,amount/balance unit,transfer id,trade id,order id"
OLD = (
    '"You can use this transaction report"\n\nTransactions\nUser,someone@example.com,1\n\n'
    "Timestamp,Transaction Type,Asset,Quantity Transacted,Spot Price Currency,Spot Price at Transaction,Subtotal,"
    "Total (inclusive of fees and/or spread),Fees and/or Spread,Notes"
)
NEW = (
    "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,"
    "Total (inclusive of fees and/or spread),Fees and/or Spread,Notes"
)


def lines(header: str, *given: str) -> list[Item]:
    return read(coinbase.KIND, "\n".join([header, *given]))


def test_fills_give_what_was_exchanged_without_the_fee() -> None:
    items = lines(
        FILLS,
        "default,1,LTC-EUR,SELL,2020-05-18T20:08:14.253Z,2.00000000,LTC,40.5,0.405,80.595,EUR",
        "default,2,LTC-EUR,BUY,2020-05-18T20:08:39.184Z,2.00000000,LTC,40.5,0.405,-81.405,EUR",
    )
    assert told(items) == ["sell 2 LTC for 81 EUR fee 0.405 EUR", "buy 2 LTC for 81 EUR fee 0.405 EUR"]
    assert [row.id for row in rows(items)] == ["LTC-EUR:1", "LTC-EUR:2"]


def test_a_total_that_is_not_size_times_price_is_quarantined() -> None:
    items = lines(FILLS, "default,1,LTC-EUR,SELL,2020-05-18T20:08:14.253Z,2,LTC,40.5,0.405,8.05,EUR")
    assert "is not size × price" in reasons(items)[0]


def test_the_rows_of_an_account_statement_that_are_one_trade() -> None:
    at = "2020-05-18T20:08:14.253Z"
    items = lines(
        ACCOUNT,
        f"default,deposit,{at},100.00,100.00,EUR,d1,,",
        f"default,match,{at},-81.00,19.00,EUR,,7,o",
        f"default,match,{at},2.0,2.0,LTC,,7,o",
        f"default,fee,{at},-0.405,18.595,EUR,,7,o",
        f"default,conversion,{at},-10,8.595,USD,c1,,",
        f"default,conversion,{at},10,10,USDC,c1,,",
        f"default,withdrawal,{at},-1,1,LTC,w1,,",
    )
    assert told(items) == [
        "in 100 EUR",
        "buy 2 LTC for 81 EUR fee 0.405 EUR",
        "conversion -10 USD",
        "conversion 10 USDC",
        "out 1 LTC",
    ]
    assert rows(items)[1].id == "LTC-EUR:7"  # the id that the fills have, too


def test_the_new_export() -> None:
    items = lines(
        NEW,
        "a,2025-01-17 16:57:02 UTC,Staking Income,ETH,0.5,EUR,€3000,€1500,€1500,€0.00,",
        'b,2025-01-17 16:57:02 UTC,Buy,BTC,0.1,USD,"$10,000","$1,000.00","$1,015.00",$15.00,Bought 0.1 BTC for 1015 USD',
        "c,2025-01-17 16:57:02 UTC,Sell,BTC,-0.1,USD,$10000,-$1000.00,-$985.00,$15.00,",
        "d,2025-01-17 16:57:02 UTC,Send,ETH,-0.25,EUR,€3000,-€750,-€750,€0.00,",
        'e,2025-01-17 16:57:02 UTC,Convert,BTC,-0.1,EUR,€9,€9,€9,,"Converted 0.1 BTC to 1,500.5 XRP"',
        "f,2025-01-17 16:57:02 UTC,Exchange Deposit,USD,-5,USD,$1,-$5,-$5,$0,",
    )
    assert told(items) == [
        "reward 0.5 ETH",
        "buy 0.1 BTC for 1000 USD fee 15 USD",
        "sell 0.1 BTC for 1000 USD fee 15 USD",
        "out 0.25 ETH",
        "buy 1500.5 XRP for 0.1 BTC",
        "out 5 USD",
    ]
    assert [row.id for row in rows(items)] == list("abcdef")


def test_the_old_export_has_no_signs_and_lines_before_its_header() -> None:
    items = lines(
        OLD,
        "2021-01-01T00:00:00Z,Send,BTC,0.25,USD,30000,,,,Sent to someone",
        "2021-01-01T00:00:00Z,Receive,BTC,0.5,USD,30000,,,,",
        "2021-01-01T00:00:00Z,Sell,BTC,0.1,USD,30000.00,3000.00,2955.00,45.00,",
    )
    assert told(items) == ["out 0.25 BTC", "in 0.5 BTC", "sell 0.1 BTC for 3000 USD fee 45 USD"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # The columns are in the account's currency, and the trade was against another asset.
        (
            "Advanced Trade Buy,USDC,3.72,USD,$1.00,$3.72,$3.72,$0.00,"
            "Bought 3.72 USDC for 3.43356 EUR on USDC-EUR at 0.923 EUR/USDC",
            "buy 3.72 USDC for 3.43356 EUR fee 0 EUR",
        ),
        (
            "Advanced Trade Sell,BTC,-0.01,USD,$60000,$600,$597.6,$2.4,"
            "Sold 0.01 BTC for 597.6 USDC on BTC-USDC at 60000 USDC/BTC",
            "sell 0.01 BTC for 600 USDC fee 2.4 USDC",
        ),
        (
            "Advanced Trade Buy,ETH,1,USD,$3000,$3000,$3012,$12,Bought 1 ETH for 0.0502 BTC on ETH-BTC at 0.05 BTC/ETH",
            "buy 1 ETH for 0.05 BTC fee 0.0002 BTC",
        ),
        ("Buy,ETH,1,EUR,€3000,€3000,€3000,€0,Bought 1 ETH for 3100 USDC", "buy 1 ETH for 3100 USDC"),
        (
            "Advanced Trade Buy,SOL,0.035,EUR,€190.00,€6.65,€6.6899,€0.0399,"
            "Bought 0.035 SOL for 6.6899 EUR on SOL-EUR at 190 EUR/SOL",
            "buy 0.035 SOL for 6.65 EUR fee 0.0399 EUR",
        ),
        (
            "Buy,BTC,0.01,EUR,€1,€105.00,€108.00,€3.00,Bought 0.0100 BTC for €108.00 EUR",
            "buy 0.01 BTC for 105 EUR fee 3 EUR",
        ),
    ],
)
def test_a_trade_is_against_what_its_notes_name(row: str, expected: str) -> None:
    assert told(lines(NEW, f"a,2025-01-17 16:57:02 UTC,{row}")) == [expected]


def test_how_much_it_was_must_be_in_the_notes() -> None:
    row = "a,2025-01-17 16:57:02 UTC,Buy,USDC,3,USD,$1,$3,$3,$0,Bought 3 USDC for 3.00 USD on USDC-EUR"
    assert reasons(lines(NEW, row)) == ["the notes do not say how much EUR it was"]


def test_the_oldest_export_has_the_currency_in_its_header() -> None:
    header = (
        "Timestamp,Transaction Type,Asset,Quantity Transacted,EUR Spot Price at Transaction,EUR Subtotal,"
        "EUR Total (inclusive of fees),EUR Fees,Notes"
    )
    items = lines(
        header,
        "2019-08-06T14:31:15Z,Buy,BTC,0.01,10500.00,105.00,108.00,3.00,Bought 0.0100 BTC for €108.00 EUR",
        '2019-08-07T14:31:15Z,Send,BTC,0.005,10600.00,"","","",Sent 0.0050 BTC',
    )
    assert told(items) == ["buy 0.01 BTC for 105 EUR fee 3 EUR", "out 0.005 BTC"]


def test_eth2_that_becomes_eth_is_a_conversion() -> None:
    items = lines(
        NEW,
        "a,2025-01-07 19:26:56 UTC,Send,ETH2,-0.18,EUR,€1,-€1,-€1,€0.00,Sent 0.18 ETH2s",
        "b,2025-01-07 19:26:56 UTC,Receive,ETH,0.18,EUR,€1,€1,€1,€0.00,Received 0.18 ETHs",
        "c,2025-01-08 19:26:56 UTC,Retail Staking Transfer,ETH,-1,EUR,€1,-€1,-€1,€0.00,",
        "d,2025-01-08 19:26:56 UTC,Retail Staking Transfer,ETH,1,EUR,€1,€1,€1,€0.00,",
    )
    assert told(items) == ["conversion -0.18 ETH2", "conversion 0.18 ETH"]
    assert passed_over(items) == ["between wallets of one's own"] * 2
    assert net(items) == {"ETH2": "-0.18", "ETH": "0.18"}


@pytest.mark.parametrize("kind", ["Something New", "Perpetual Futures Trade"])
def test_what_is_not_understood_is_quarantined(kind: str) -> None:
    assert reasons(lines(NEW, f"a,2025-01-07 19:26:56 UTC,{kind},ETH,-1,EUR,€1,€1,€1,€0,"))


def test_it_is_recognised() -> None:
    for header in (FILLS, ACCOUNT, OLD, NEW):
        assert coinbase.KIND.recognises(Sample("file", header.encode()))
    assert not coinbase.KIND.recognises(Sample("file", b"a,b"))
