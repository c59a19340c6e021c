"""`binance`: glued units, rows without ids, seconds with several rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.importers.items import Item, Sample
from engine.importers.venues import binance
from tests.engine.importers.venues.venues_support import contracts, net, passed_over, read, reasons, rows, told

GLUED = '"Date(UTC)","Pair","Side","Price","Executed","Amount","Fee"'
STATEMENT = "User_ID,UTC_Time,Account,Operation,Coin,Change,Remark"


def trades(*lines: str) -> list[Item]:
    return read(binance.KIND, "\n".join(["\ufeff" + GLUED, *lines]))


def statement(*lines: str) -> list[Item]:
    """`second account operation coin change` a row, where `_` is a blank in names."""
    given = []
    for line in lines:
        second, account, operation, coin, change = line.split()
        given.append(
            f"1,2024-01-01 00:00:{second},{account.replace('_', ' ')},{operation.replace('_', ' ')},{coin},{change},"
        )
    return read(binance.KIND, "\n".join([STATEMENT, *given]))


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("2024-01-01 00:00:00,XRPUSDT,BUY,0.5,10XRP,5USDT,0.01XRP", "buy 10 XRP for 5 USDT fee 0.01 XRP"),
        ("2024-01-01 00:00:00,1INCHUSDT,SELL,0.5,12.51INCH,6.25USDT,0.1USDT", "sell 12.5 1INCH for 6.25 USDT fee 0.1 USDT"),
        ('2024-01-01 00:00:00,BTCUSDT,SELL,40000,1.5BTC,"60,000.0USDT",0.1BNB', "sell 1.5 BTC for 60000 USDT fee 0.1 BNB"),
        ("2024-01-01 00:00:00,LTCBTC,BUY,0.007,1LTC,0.007BTC,0BNB", "buy 1 LTC for 0.007 BTC fee 0 BNB"),
    ],
)  # fmt: skip
def test_glued_units(line: str, fact: str) -> None:
    items = trades(line)
    assert told(items) == [fact]
    assert rows(items)[0].id is None


def test_identical_rows_are_all_real() -> None:
    line = "2024-01-01 00:00:00,XRPUSDT,BUY,0.5,10XRP,5USDT,0.01XRP"
    assert net(trades(line, line)) == {"XRP": "19.98", "USDT": "-10"}


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("Date(UTC);Market;Type;Price;Amount;Total;Fee;Fee Coin", "2024-01-01 00:00:00;XRPUSDT;BUY;0.5;10;5;0.01;XRP"),
        ("Date(UTC),Market,Type,Price,Amount,Total,Fee,Fee Coin", "2024-01-01 00:00:00,XRPUSDT,BUY,0.5,10,,0.01,XRP"),
        (
            "Date(UTC),Pair,Base Asset,Quote Asset,Type,Price,Amount,Total,Fee,Fee Coin",
            "2024-01-01 00:00:00,XRPUSDT,XRP,USDT,BUY,0.5,10,5,0.01,XRP",
        ),
    ],
)
def test_other_layouts(header: str, line: str) -> None:
    items = read(binance.KIND, f"{header}\n{line}")
    assert told(items) == ["buy 10 XRP for 5 USDT fee 0.01 XRP"]
    assert rows(items)[0].at == datetime(2024, 1, 1, tzinfo=UTC)


def test_a_time_without_a_zone_needs_one() -> None:
    text = "User_ID,Time,Account,Operation,Coin,Change,Remark\n1,24-01-01 00:00:00,Spot,Deposit,XRP,5,"
    assert "has no zone" in reasons(read(binance.KIND, text))[0]
    (row,) = rows(read(binance.KIND, text, zone=UTC))
    assert row.at == datetime(2024, 1, 1, tzinfo=UTC)


def test_futures_are_contracts() -> None:
    text = (
        "Time(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Realized Profit,Quote Asset\n"
        "2024-01-01 00:00:00,BTCUSDT,SELL,40000,0.1,4000,1.6,-25.5,USDT"
    )
    items = read(binance.KIND, text)
    assert told(items) == ["realised -25.5 USDT", "fee -1.6 USDT"]
    assert contracts(items) == ["BTCUSDT"]


def test_the_rows_of_one_second_are_one_trade_in_any_order() -> None:
    items = statement(
        "01 Spot Fee BNB -0.001", "01 Spot Transaction_Related USDT -5", "01 Spot Buy XRP 10", "01 Spot Buy XRP 10",
        "01 Spot Transaction_Related USDT -5", "01 Spot Fee BNB -0.001",
    )  # fmt: skip
    assert told(items) == ["buy 20 XRP for 10 USDT fee 0.002 BNB"]


def test_bought_and_sold_in_one_second_are_two_trades() -> None:
    items = statement(
        "01 Spot Transaction_Buy XRP 10", "01 Spot Transaction_Spend USDT -5", "01 Spot Transaction_Sold XRP -4",
        "01 Spot Transaction_Revenue USDT 3", "01 Spot Transaction_Fee BNB -0.001",
    )  # fmt: skip
    assert told(items) == ["buy 10 XRP for 5 USDT", "sell 4 XRP for 3 USDT", "fee -0.001 BNB"]


def test_of_two_pairs_in_one_second_the_fees_stay_fees() -> None:
    items = statement(
        "01 Spot Buy XRP 10", "01 Spot Transaction_Related USDT -5", "01 Spot Fee BNB -0.001", "01 Spot Buy BTC 2",
        "01 Spot Transaction_Related USDT -9", "01 Spot Fee BNB -0.002",
    )  # fmt: skip
    assert told(items) == ["conversion 2 BTC", "conversion -14 USDT", "conversion 10 XRP", "fee -0.003 BNB"]


@pytest.mark.parametrize("operation", ["Auto-Invest_Transaction", "Fiat_Exchange", "Stablecoins_Auto-Conversion"])
def test_other_exchanges(operation: str) -> None:
    items = statement(f"01 Spot {operation} USDT -5", f"01 Spot {operation} BTC 2")
    assert told(items) == ["buy 2 BTC for 5 USDT"]


def test_small_assets_that_become_bnb_are_a_conversion() -> None:
    operation = "Small_assets_exchange_BNB"
    items = statement(f"01 Spot {operation} BNB 0.1", f"01 Spot {operation} XRP -2", f"01 Spot {operation} TRX -3")
    assert sorted(told(items)) == ["conversion -2 XRP", "conversion -3 TRX", "conversion 0.1 BNB"]


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("01 Spot Deposit XRP 5", "in 5 XRP"),
        ("01 Spot Withdraw XRP -5", "out 5 XRP"),
        ("01 Spot Withdraw XRP 5", "in 5 XRP"),
        ("01 Funding P2P_Trading USDT -5", "out 5 USDT"),
        ("01 Spot Referral_Kickback BNB 0.1", "rebate 0.1 BNB"),
        ("01 Earn Simple_Earn_Flexible_Interest USDT 0.1", "reward 0.1 USDT"),
        ("01 Spot Staking_Purchase DOT -3", "locked -3 DOT"),
        ("01 USDT-Futures Funding_Fee USDT -0.1", "funding -0.1 USDT"),
        ("01 USDT-Futures Fee USDT -0.1", "fee -0.1 USDT"),
        ("01 USDT-Futures Realize_profit_and_loss USDT 7", "realised 7 USDT"),
    ],
)
def test_operations(line: str, fact: str) -> None:
    assert told(statement(line)) == [fact]


def test_a_position_on_margin_is_no_fill() -> None:
    items = statement(
        "01 Cross_Margin Buy XRP 10", "01 Cross_Margin Transaction_Related USDT -5", "01 Cross_Margin Fee BNB -0.1"
    )
    assert told(items) == ["fee -0.1 BNB"]
    assert len(contracts(items)) == 3


def test_transfers_between_own_accounts_are_passed_over_where_both_sides_are_there() -> None:
    operation = "Transfer_Between_Main_and_Funding_Wallet"
    both = statement(f"01 Spot {operation} USDT -7", f"01 Funding {operation} USDT 7")
    assert passed_over(both) == ["between accounts of one's own"] * 2
    assert told(statement(f"01 Spot {operation} USDT -7")) == ["out 7 USDT"]


def test_earn_with_a_token_is_a_conversion() -> None:
    operation = "Simple_Earn_Flexible_Subscription"
    items = statement(f"01 Earn {operation} USDT -7", f"01 Earn {operation} LDUSDT 7")
    assert sorted(told(items)) == ["conversion -7 USDT", "conversion 7 LDUSDT"]


def test_short_and_empty_rows() -> None:
    text = f"{STATEMENT}\n1,2024-01-01 00:00:00,Spot,Deposit,XRP,5\n\n,,,,,,\n1,2024-01-01 00:00:00,Spot\n"
    items = read(binance.KIND, text)
    assert told(items) == ["in 5 XRP"]
    assert reasons(items) == ["the row has 3 cells, the header 7"]


@pytest.mark.parametrize("line", ["01 Spot Something_New XRP 1", "01 Spot Buy XRP 1", "01 Spot Loan USDT 5"])
def test_what_is_not_understood_is_quarantined(line: str) -> None:
    items = statement(line)
    assert reasons(items)
    assert not rows(items)


def test_it_is_recognised() -> None:
    assert binance.KIND.recognises(Sample("file", ("\ufeff" + GLUED).encode()))
    assert binance.KIND.recognises(Sample("file", STATEMENT.encode()))
    assert not binance.KIND.recognises(
        Sample("file", b"txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,misc")
    )
