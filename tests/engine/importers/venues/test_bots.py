"""`hummingbot` and `freqtrade`: databases of several versions, made here, and their files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.importers.items import Item, Kind, Settings, Unreadable
from engine.importers.sources import sample_of, source_named
from engine.importers.venues import freqtrade, hummingbot
from tests.engine.importers.venues.venues_support import contracts, net, passed_over, read, reasons, rows, told

Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture
def database(tmp_path: Path) -> Callable[[Tables, dict[str, str]], str]:
    """Makes a database of tables; the types of columns other than TEXT are given by name."""

    def make(tables: Tables, types: dict[str, str]) -> str:
        path = tmp_path / "bot.sqlite"
        with sqlite3.connect(path) as connection:
            for table, lines in tables.items():
                columns = list(lines[0])
                declared = ", ".join(f'"{name}" {types.get(name, "TEXT")}' for name in columns)
                connection.execute(f'CREATE TABLE "{table}" ({declared})')
                marks = ", ".join("?" for _ in columns)
                connection.executemany(
                    f'INSERT INTO "{table}" VALUES ({marks})', [tuple(line.values()) for line in lines]
                )
        connection.close()
        return str(path)

    return make


def items_of(kind: Kind, path: str) -> list[Item]:
    return list(kind.read([source_named(path)], Settings(numeraire="USDT")))


# hummingbot

SCALED = {"price": "BIGINT", "amount": "BIGINT", "timestamp": "BIGINT"}
QUOTE_FEE: dict[str, Any] = {"fee_type": "AddedToCost", "percent": "0.001", "percent_token": None, "flat_fees": []}


def trade_fill(fee: object = QUOTE_FEE, **fields: object) -> dict[str, Any]:
    return {
        "config_file_path": "conf.yml", "strategy": "pmm", "market": "kucoin", "symbol": "XRP-USDT", "base_asset": "XRP",
        "quote_asset": "USDT", "timestamp": 1704067200000, "order_id": "o1", "trade_type": "BUY", "order_type": "LIMIT",
        "price": 500000, "amount": 10000000, "leverage": 1, "trade_fee": json.dumps(fee), "exchange_trade_id": "t1",
        "position": "NIL", **fields,
    }  # fmt: skip


def test_the_database_keeps_integers_of_millionths(database: Callable[..., str]) -> None:
    path = database({"TradeFill": [trade_fill()]}, SCALED)
    items = items_of(hummingbot.KIND, path)
    assert told(items) == ["buy 10 XRP for 5 USDT fee 0.005 USDT"]
    assert rows(items)[0].id == "kucoin:o1:t1"
    assert hummingbot.KIND.recognises(sample_of(source_named(path)))


def test_the_oldest_database_keeps_plain_numbers(database: Callable[..., str]) -> None:
    path = database({"TradeFill": [trade_fill(price=0.5, amount=10)]}, {"price": "FLOAT", "amount": "FLOAT"})
    assert told(items_of(hummingbot.KIND, path)) == ["buy 10 XRP for 5 USDT fee 0.005 USDT"]


def test_a_small_price_is_0_in_the_database(database: Callable[..., str]) -> None:
    items = items_of(hummingbot.KIND, database({"TradeFill": [trade_fill(price=0)]}, SCALED))
    assert "import the CSV" in reasons(items)[0]
    assert not rows(items)


@pytest.mark.parametrize(
    ("fee", "side", "facts"),
    [
        (QUOTE_FEE, "SELL", ["sell 10 XRP for 5 USDT fee 0.005 USDT"]),
        ({**QUOTE_FEE, "fee_type": "DeductedFromReturns"}, "BUY", ["buy 10 XRP for 5 USDT fee 0.01 XRP"]),
        ({**QUOTE_FEE, "fee_type": "DeductedFromReturns"}, "SELL", ["sell 10 XRP for 5 USDT fee 0.005 USDT"]),
        ({**QUOTE_FEE, "percent": "-0.001"}, "BUY", ["buy 10 XRP for 5 USDT fee -0.005 USDT"]),
        ({**QUOTE_FEE, "percent_token": "BNB"}, "BUY", ["buy 10 XRP for 5 USDT"]),
        ({"percent": 0, "flat_fees": [["BNB", 0.01]]}, "BUY", ["buy 10 XRP for 5 USDT fee 0.01 BNB"]),
        (
            {**QUOTE_FEE, "flat_fees": [{"token": "BNB", "amount": "0.01"}, {"token": "BNB", "amount": "0.02"}]},
            "BUY",
            ["buy 10 XRP for 5 USDT fee 0.005 USDT", "fee -0.03 BNB"],
        ),
    ],
)
def test_fees(fee: object, side: str, facts: list[str], database: Callable[..., str]) -> None:
    path = database({"TradeFill": [trade_fill(fee, trade_type=side)]}, SCALED)
    assert told(items_of(hummingbot.KIND, path)) == facts


@pytest.mark.parametrize("fields", [{"position": "OPEN"}, {"leverage": 5}, {"market": "binance_perpetual"}])
def test_a_perpetual_is_a_contract(fields: dict[str, object], database: Callable[..., str]) -> None:
    fills = [trade_fill(**fields)]
    path = database({"TradeFill": fills}, SCALED)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE FundingPayment (timestamp BIGINT, market TEXT, symbol TEXT, amount FLOAT)")
        connection.execute("INSERT INTO FundingPayment VALUES (1704067200, 'm', 'XRP-USDT', -0.25)")
    connection.close()
    items = items_of(hummingbot.KIND, path)
    assert told(items) == ["fee -0.005 USDT", "funding -0.25 USDT"]
    assert len(contracts(items)) == 2


def test_a_controller_becomes_a_tag(database: Callable[..., str]) -> None:
    executors = [{"id": "e", "custom_info": json.dumps({"order_ids": ["o1"]}), "controller_id": "grid_1"}]
    path = database({"TradeFill": [trade_fill()], "Executors": executors}, SCALED)
    fill = rows(items_of(hummingbot.KIND, path))[0].facts[0]
    assert (vars(fill)["strategy"], vars(fill)["tags"]) == ("pmm", ("grid_1",))


@pytest.mark.parametrize(
    ("fee", "facts"),
    [
        (None, ["buy 10 XRP for 5 USDT"]),
        ({"percent": "0.001", "percent_token": "BNB", "flat_fees": []}, ["buy 10 XRP for 5 USDT"]),
        (
            {"percent": "0.001", "percent_token": "BNB", "flat_fees": [{"token": "XRP", "amount": "0.1"}]},
            ["buy 10 XRP for 5 USDT", "fee -0.1 XRP"],
        ),
    ],
)
def test_a_fee_that_is_not_in_the_file_is_unknown_and_the_fill_goes_in(
    fee: object, facts: list[str], database: Callable[..., str]
) -> None:
    items = items_of(hummingbot.KIND, database({"TradeFill": [trade_fill(fee)]}, SCALED))
    assert told(items) == facts
    assert rows(items)[0].facts[0].source_note


def test_the_csv_of_trades_has_a_fee_as_python_writes_it() -> None:
    fee = "{'fee_type': 'AddedToCost', 'percent': '0.002', 'percent_token': None, 'flat_fees': []}"
    line = trade_fill(trade_fee=fee, price="0.000000733", amount="285714")
    text = ",".join(line) + ",age\n" + ",".join(f'"{value}"' for value in line.values()) + ",n/a\n"
    items = read(hummingbot.KIND, text)
    assert net(items) == {"XRP": "285714", "USDT": "-0.209847218724"}


def test_a_database_of_something_else_is_unreadable(database: Callable[..., str], tmp_path: Path) -> None:
    path = database({"notes": [{"text": "x"}]}, {})
    for kind in (hummingbot.KIND, freqtrade.KIND):
        with pytest.raises(Unreadable, match="has no table"):
            items_of(kind, path)
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for kind in (hummingbot.KIND, freqtrade.KIND):
        with pytest.raises(Unreadable):
            items_of(kind, str(broken))


# freqtrade


def trade(**fields: object) -> dict[str, Any]:
    return {
        "id": 1, "exchange": "kraken", "pair": "XRP/USDT", "base_currency": "XRP", "stake_currency": "USDT", "is_open": 0,
        "fee_open": 0.001, "fee_open_cost": None, "fee_open_currency": None, "fee_close": 0.001, "fee_close_cost": None,
        "fee_close_currency": None, "open_rate": 0.5, "close_rate": 0.6, "amount": 10.0, "close_profit_abs": 0.989,
        "open_date": "2024-01-01 00:00:00.000000", "close_date": "2024-01-02 00:00:00", "strategy": "S", "enter_tag": "dip",
        "trading_mode": "SPOT", "leverage": 1.0, "is_short": 0, "funding_fees": 0.0, **fields,
    }  # fmt: skip


def order(name: str, side: str, filled: float, average: float, **fields: object) -> dict[str, Any]:
    return {
        "id": 1, "ft_trade_id": 1, "ft_order_side": side, "order_id": name, "status": "closed", "filled": filled,
        "average": average, "price": average, "cost": filled * average, "order_date": "2024-01-01 00:00:00",
        "order_filled_date": "2024-01-01 00:00:01", "ft_fee_base": None, **fields,
    }  # fmt: skip


NUMBERS = dict.fromkeys(
    ("fee_open", "fee_open_cost", "fee_close", "fee_close_cost", "open_rate", "close_rate", "amount", "close_profit_abs",
     "leverage", "funding_fees", "filled", "average", "price", "cost", "ft_fee_base"), "FLOAT",
) | dict.fromkeys(("id", "ft_trade_id", "is_open", "is_short"), "INTEGER")  # fmt: skip


def test_a_trade_without_orders_is_two_fills(database: Callable[..., str]) -> None:
    path = database({"trades": [trade()]}, NUMBERS)
    items = items_of(freqtrade.KIND, path)
    assert told(items) == ["buy 10 XRP for 5 USDT fee 0.005 USDT", "sell 10 XRP for 6 USDT fee 0.006 USDT"]
    assert net(items) == {"USDT": "0.989"}
    fill = rows(items)[0].facts[0]
    assert (vars(fill)["strategy"], vars(fill)["tags"]) == ("S", ("dip",))
    assert freqtrade.KIND.recognises(sample_of(source_named(path)))


def test_a_fee_that_was_paid_in_another_asset(database: Callable[..., str]) -> None:
    path = database({"trades": [trade(fee_open_cost=0.00002, fee_open_currency="BNB")]}, NUMBERS)
    assert told(items_of(freqtrade.KIND, path))[0] == "buy 10 XRP for 5 USDT fee 0.00002 BNB"


def test_of_several_orders_a_fee_in_what_was_bought_is_the_rate_of_that(database: Callable[..., str]) -> None:
    of_trade = trade(
        amount=10.0, fee_open_cost=0.006, fee_open_currency="XRP", fee_close_currency="XRP", fee_close_cost=1.0
    )
    orders = [
        order("a", "buy", 6.0, 0.5),
        order("b", "buy", 4.0, 0.25),
        order("c", "sell", 4.0, 0.6),
        order("d", "sell", 6.0, 0.6),
    ]
    assert told(items_of(freqtrade.KIND, database({"trades": [of_trade], "orders": orders}, NUMBERS))) == [
        "buy 6 XRP for 3 USDT fee 0.006 XRP",
        "buy 4 XRP for 1 USDT fee 0.004 XRP",
        "sell 4 XRP for 2.4 USDT fee 0.0024 USDT",
        "sell 6 XRP for 3.6 USDT fee 0.0036 USDT",
    ]


@pytest.mark.parametrize(
    "state", [{"status": "open"}, {"status": "open", "ft_is_open": 1}, {"status": "partially_filled"}]
)
def test_an_order_that_is_still_open_comes_when_it_is_done(state: dict[str, Any], database: Callable[..., str]) -> None:
    """Its filled amount would be another one next time."""
    orders = [order("a", "buy", 6.0, 0.5, ft_is_open=0), order("b", "buy", 1.0, 0.25, **{"ft_is_open": 0, **state})]
    items = items_of(freqtrade.KIND, database({"trades": [trade(is_open=1)], "orders": orders}, NUMBERS))
    assert told(items) == ["buy 6 XRP for 3 USDT fee 0.003 USDT"]
    assert passed_over(items) == ["an order that is still open"]


def test_orders_are_the_fills(database: Callable[..., str]) -> None:
    orders = [
        order("a", "buy", 6.0, 0.5),
        order("b", "buy", 4.0, 0.25, ft_fee_base=0.004),
        order("c", "buy", 0.0, 0.5, status="canceled"),
        order("d", "sell", 10.0, 0.6),
        order("e", "stoploss", 0.0, 0.4),
    ]
    items = items_of(freqtrade.KIND, database({"trades": [trade()], "orders": orders}, NUMBERS))
    assert told(items) == [
        "buy 6 XRP for 3 USDT fee 0.003 USDT",
        "buy 4 XRP for 1 USDT fee 0.004 XRP",
        "sell 10 XRP for 6 USDT fee 0.006 USDT",
    ]
    assert [row.id for row in rows(items)] == ["kraken:XRP/USDT:a", "kraken:XRP/USDT:b", "kraken:XRP/USDT:d"]


@pytest.mark.parametrize(
    "fields",
    [
        {"trading_mode": "FUTURES", "pair": "XRP/USDT:USDT"},
        {"leverage": 3.0},
        {"is_short": 1},
        {"trading_mode": "MARGIN"},
    ],
)
def test_a_position_is_a_contract(fields: dict[str, object], database: Callable[..., str]) -> None:
    path = database({"trades": [trade(**fields, funding_fees=-0.1, close_profit_abs=0.889)]}, NUMBERS)
    items = items_of(freqtrade.KIND, path)
    assert contracts(items) == [str(fields.get("pair", "XRP/USDT"))]
    assert net(items) == {"USDT": "0.889"}
    assert told(items) == ["realised 1 USDT", "fee -0.011 USDT", "funding -0.1 USDT"]


def test_an_open_trade_and_an_open_position(database: Callable[..., str]) -> None:
    path = database(
        {"trades": [trade(is_open=1, close_date=None), trade(is_open=1, close_date=None, is_short=1)]}, NUMBERS
    )
    items = items_of(freqtrade.KIND, path)
    assert told(items) == ["buy 10 XRP for 5 USDT fee 0.005 USDT"]
    assert contracts(items) == ["XRP/USDT"]


def test_json_of_all_shapes() -> None:
    with_orders = {
        **trade(),
        "trade_id": 1,
        "orders": [order("a", "buy", 10.0, 0.5, order_filled_timestamp=1704067201000)],
    }
    plain = trade()
    for value, count in (
        ([with_orders], 1),
        ({"trades": [with_orders], "trades_count": 1}, 1),
        ({"strategy": {"S": {"trades": [plain]}}, "strategy_comparison": []}, 2),
    ):
        items = read(freqtrade.KIND, json.dumps(value))
        assert told(items)[0] == "buy 10 XRP for 5 USDT fee 0.005 USDT"
        assert len(rows(items)) == count
    assert reasons(read(freqtrade.KIND, '{"a": 1}')) == ["not a trade of freqtrade"]


def test_a_trade_of_nothing_is_passed_over(database: Callable[..., str]) -> None:
    assert passed_over(items_of(freqtrade.KIND, database({"trades": [trade(amount=0.0)]}, NUMBERS))) == ["not filled"]
