"""ccxt's unified entries: real files to their figures, and every trap of fees, costs, contracts and ledgers."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.importers.ccxt import KIND
from engine.importers.deciding import Answer
from engine.importers.importing import files_of
from engine.importers.items import Contract, Item, Movement, PassedOver, QuarantinedRow, Row, Settings
from engine.importers.resolving import resolve
from engine.importers.sources import FileSource
from ledger.events import Adjustment, Fill
from tests.engine.importers.import_support import SHARED, imported, movement, trade, written
from tests.support import BOOK

REAL = SHARED / "ccxt"
# Where the figures' own note says that they do not stand: the amount includes the fee.
NOTED = {"oxfun_fetchWithdrawals_fetchTransfers.json": {"OX": "-11.7444"}}


@pytest.mark.parametrize(
    "name", sorted(path.name for path in REAL.glob("*.json") if path.name != "expected.json") or [None]
)
def test_a_real_file_gives_its_figures_twice_without_a_change(name: str | None, keeper: Bookkeeper) -> None:
    if name is None:
        pytest.skip("the real files are not at hand: there is no shared/data/ccxt beside the checkout")
    expected = json.loads((REAL / "expected.json").read_text())[name]
    assert files_of(None, [FileSource(str(REAL / name))])[0].kind.name == "ccxt"
    for _ in range(2):
        report = imported(keeper, REAL / name, kind=None)
        assert report.quarantine == 0
        for entry in report.waiting:
            prices = {asset: Decimal(1) for asset in (entry.asset,) if asset is not None}
            delta = None if entry.type == "deposit" else Decimal(0)
            resolve(keeper, BOOK, entry.id, Answer(prices, delta))
    assert report.added.total() == 0
    held = {asset: holding.total for asset, holding in keeper.view(BOOK).state.inventory.items()}
    net = NOTED.get(name, expected["net_after_fees"])
    assert {asset: total for asset, total in held.items() if total} == {
        asset: Decimal(total) for asset, total in net.items() if Decimal(total)
    }
    assert set(report.contracts) == set(expected["position_change"])


def read(tmp_path: Path, *entries: Any, **settings: Any) -> list[Item]:
    path = tmp_path / "given.json"
    path.write_text(json.dumps(entries))
    return list(KIND.read([FileSource(str(path))], Settings("RLUSD", **settings)))


def facts(tmp_path: Path, entry: Any, **settings: Any) -> list[Any]:
    (row,) = read(tmp_path, entry, **settings)
    assert isinstance(row, Row), row
    return list(row.facts)


@pytest.mark.parametrize(
    ("fee", "fees", "own", "further"),
    [
        ({"cost": 0.1, "currency": "BNB"}, None, ("BNB", "0.1"), []),
        ([{"cost": "0.1", "currency": "BNB"}], None, ("BNB", "0.1"), []),
        ('{"cost": 0.1, "currency": "BNB"}', None, ("BNB", "0.1"), []),
        ({"cost": -0.1, "currency": "BNB"}, None, ("BNB", "-0.1"), []),
        ({"cost": 0, "currency": "BNB"}, None, ("BNB", "0"), []),
        ({"cost": 0, "currency": None}, None, ("RLUSD", "0"), []),
        (None, [{"cost": 0.1, "currency": "BNB"}, {"cost": 0.2, "currency": "BNB"}], ("BNB", "0.3"), []),
        (None, [{"cost": 1, "currency": "A"}, {"cost": -2, "currency": "B"}], ("A", "1"), [("B", "2")]),
        ({}, [{"cost": 1, "currency": "A"}], ("A", "1"), []),
        ("0.1 BNB", None, ("BNB", "0.1"), []),
        ("{'cost': 0.12345678901234567890, 'currency': 'BNB'}", None, ("BNB", "0.1234567890123456789"), []),
        ({"cost": 1, "currency": "A"}, [], ("A", "1"), []),
        # Unknown stays unknown.
        (None, None, (None, None), []),
        ("", [], (None, None), []),
        ({"cost": None, "currency": None}, None, (None, None), []),
        ({"cost": 0.5, "currency": None}, None, (None, None), []),
        ("0.5", None, (None, None), []),
    ],
)
def test_fees_in_every_form(
    tmp_path: Path, fee: Any, fees: Any, own: tuple[str | None, str | None], further: list[tuple[str, str]]
) -> None:
    first, *others = facts(tmp_path, trade(1, 0, fee=fee, fees=fees, order="o1"))
    assert isinstance(first, Fill)
    assert (first.fee_asset, first.fee_amount) == (own[0], None if own[1] is None else Decimal(own[1]))
    assert [(other.asset, other.amount, other.reason) for other in others] == [
        (a, Decimal(n), "fee") for a, n in further
    ]
    assert all("o1" in str(other.source_note) for other in others)


@pytest.mark.parametrize(
    ("amount", "price", "cost", "paid"),
    [
        (10, 1.33, 13.3, "13.3"),
        (10, 1.33, None, "13.3"),
        (10, None, 13.3, "13.3"),
        (10, 1.33, 0, "13.3"),
        ("0.005", "45123.45", "225.61725", "225.61725"),
        (1000000, 1e-8, 0.014, "0.014"),  # the price is rounded in its last place
        (10, 1.33, 1330, None),  # a contract of 100
        (10, None, None, None),
        (0, 1.33, 0, None),
        ("ten", 1.33, 13.3, None),
        (True, 1.33, 13.3, None),
    ],
)
def test_the_cost_is_what_was_paid_and_near_price_times_amount(
    tmp_path: Path, amount: Any, price: Any, cost: Any, paid: str | None
) -> None:
    (item,) = read(tmp_path, trade(1, 0, amount=amount, price=price, cost=cost))
    if paid is None:
        assert isinstance(item, QuarantinedRow)
    else:
        assert isinstance(item, Row)
        assert isinstance(fill := item.facts[0], Fill)
        assert fill.quote_amount == Decimal(paid)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"symbol": "BTC/USDT:USDT", "fee": {"cost": 1.5, "currency": "USDT"}}, [("USDT", "-1.5", "fee")]),
        (
            {"symbol": "BTC/USDT:USDT-240628", "fee": None, "info": {"realizedPnl": "-7.5"}},
            [("USDT", "-7.5", "realised")],
        ),
        ({"symbol": "BTC/USDT:USDT", "fee": {"cost": 0, "currency": "USDT"}, "info": {"closedPnl": "0"}}, []),
        ({"contractSize": 100}, []),
        # A spot symbol, which the exchange's own answer says was traded on margin.
        *(
            ({"symbol": "XRP/RLUSD", "fee": {"cost": 1, "currency": "RLUSD"}, "info": info}, [("RLUSD", "-1", "fee")])
            for info in (
                {"isIsolated": False},
                {"margin": "4.0000"},
                {"isLeverage": "1"},
                {"instType": "MARGIN"},
                {"tradeType": "MARGIN_TRADE"},
            )
        ),
    ],
)
def test_a_contract_is_never_a_fill(tmp_path: Path, more: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    contract, *rows = read(tmp_path, trade(1, 0, **more))
    assert isinstance(contract, Contract)
    made = [fact for row in rows if isinstance(row, Row) for fact in row.facts]
    assert [(f.asset, str(f.amount), f.reason) for f in made if isinstance(f, Adjustment)] == expected


@pytest.mark.parametrize("info", [{"margin": "0.00000"}, {"margin": "none"}, {"isLeverage": "0"}, {"instType": "SPOT"}])
def test_a_spot_trade_is_a_fill(tmp_path: Path, info: dict[str, Any]) -> None:
    assert isinstance(facts(tmp_path, trade(1, 0, info=info))[0], Fill)


def test_funding_is_an_adjustment(tmp_path: Path) -> None:
    paid = {
        "info": {},
        "symbol": "BTC/USDT:USDT",
        "code": "USDT",
        "timestamp": 1767000000000,
        "id": "f1",
        "amount": -0.25,
    }
    contract, row = read(tmp_path, paid)
    assert isinstance(contract, Contract)
    assert isinstance(row, Row)
    assert [(f.asset, f.amount, f.reason) for f in row.facts if isinstance(f, Adjustment)] == [
        ("USDT", Decimal("-0.25"), "funding")
    ]


@pytest.mark.parametrize(
    ("entry", "settings", "expected"),
    [
        (movement(1, 0, "deposit", "5", "XRP", txid="AB"), {}, [("in", "XRP", "5")]),
        (
            movement(1, 0, "withdrawal", "5", fee={"cost": 1, "currency": "RLUSD"}),
            {},
            [("out", "RLUSD", "5"), ("RLUSD", "-1")],
        ),
        (
            movement(1, 0, "withdrawal", "5", fee={"cost": 1, "currency": "RLUSD"}),
            {"source": "oxfun"},
            [("out", "RLUSD", "4"), ("RLUSD", "-1")],
        ),
        (
            movement(1, 0, "withdrawal", "5", fee={"cost": 1, "currency": None}),
            {},
            [("out", "RLUSD", "5"), ("RLUSD", "-1")],
        ),
        (movement(1, 0, "deposit", "5", "XBT"), {"aliases": {"XBT": "BTC"}}, [("in", "BTC", "5")]),
    ],
)
def test_movements_and_their_fees(tmp_path: Path, entry: Any, settings: dict[str, Any], expected: list[Any]) -> None:
    made = [
        (f.direction, f.asset, str(f.amount)) if isinstance(f, Movement) else (f.asset, str(f.amount))
        for f in facts(tmp_path, entry, **settings)
    ]
    assert made == expected


@pytest.mark.parametrize("status", ["pending", "failed", "canceled"])
def test_a_movement_that_is_not_done_moves_nothing(tmp_path: Path, status: str) -> None:
    (item,) = read(tmp_path, movement(1, 0, "deposit", "5", status=status))
    assert isinstance(item, PassedOver)
    assert item.reason == status


def ledger(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "l1", "timestamp": 1767000000000, "direction": "in", "type": kind, "currency": "BNB", "amount": 0.5,
        "referenceId": None, "referenceAccount": None, "status": "ok", "fee": None, "info": {}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ledger("rebate"), ("BNB", "0.5", "rebate")),
        (ledger("cashback"), ("BNB", "0.5", "reward")),
        (ledger("fee", direction="out"), ("BNB", "-0.5", "fee")),
        (ledger("fee", direction="out", referenceId="t1"), PassedOver),
        (ledger("trade"), PassedOver),
        (ledger("transaction"), PassedOver),
        (ledger("transfer"), PassedOver),
        (ledger("deposit"), PassedOver),  # what fetchDeposits gives under another id
        (ledger("rollover", direction="out"), ("BNB", "-0.5", "funding")),
        (ledger("margin", amount=0, fee={"cost": 0.5, "currency": "BNB"}), ("BNB", "-0.5", "fee")),
        (ledger("rebate", status="pending"), PassedOver),
        (ledger("rebate", amount=0), PassedOver),
        (ledger("gift"), QuarantinedRow),
        (ledger("rebate", direction=None), QuarantinedRow),
        ({"id": "t", "timestamp": 1, "currency": "OX", "amount": 10, "fromAccount": "1", "toAccount": "2"}, PassedOver),
        ({**trade(1, 0), "filled": 1, "remaining": 0}, QuarantinedRow),
        ({"hello": "world"}, QuarantinedRow),
        (7, QuarantinedRow),
        (None, QuarantinedRow),
    ],
)
def test_ledger_entries_and_what_is_none(tmp_path: Path, entry: Any, expected: Any) -> None:
    (item,) = read(tmp_path, entry)
    if isinstance(expected, tuple):
        assert isinstance(item, Row)
        assert [(f.asset, str(f.amount), f.reason) for f in item.facts if isinstance(f, Adjustment)] == [expected]
    else:
        assert isinstance(item, expected)


def test_trades_of_one_number_on_two_markets_are_two(tmp_path: Path) -> None:
    items = read(tmp_path, trade(1, 0), trade(1, 0, symbol="BTC/RLUSD"), [[trade(1, 0)]], source="kraken")
    assert [item.id for item in items if isinstance(item, Row)] == [
        "kraken:XRP/RLUSD:1", "kraken:BTC/RLUSD:1", "kraken:XRP/RLUSD:1",
    ]  # fmt: skip


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**14)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["cost", "currency", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(
    base=st.sampled_from([trade(1, 0), movement(1, 0, "deposit", "5"), ledger("rebate")]),
    changed=st.dictionaries(
        st.sampled_from(
            [
                "id",
                "timestamp",
                "symbol",
                "side",
                "amount",
                "cost",
                "price",
                "fee",
                "fees",
                "order",
                "takerOrMaker",
                "type",
                "currency",
                "status",
                "txid",
                "direction",
                "info",
                "contractSize",
                "datetime",
            ]
        ),
        json_values,
        max_size=4,
    ),
)
def test_any_entry_is_taken_or_named(
    tmp_path_factory: pytest.TempPathFactory, base: Any, changed: dict[str, Any]
) -> None:
    items = read(tmp_path_factory.getbasetemp(), {**base, **changed}, trade(2, 0))
    # What comes after it is read all the same.
    assert [item.id for item in items if isinstance(item, Row)][-1] == "XRP/RLUSD:2"


def test_movements_alone_are_recognised(tmp_path: Path) -> None:
    """What a program keeps of them may leave the exchange's own answer out."""
    given = [movement(1, 0, "deposit", "5", txid="AB"), movement(2, 0, "withdrawal", "5", txid="CD")]
    for each in given:
        del each["info"]
    assert files_of(None, [FileSource(str(written(tmp_path, *given)))])[0].kind.name == "ccxt"


def test_an_odd_entry_never_stops_an_import(keeper: Bookkeeper, tmp_path: Path) -> None:
    odd = [
        trade(1, 0, amount="1e25"), trade(2, 0, side="both"), trade(3, 0, symbol="A B/C"), trade(4, 0, symbol="XRP/XRP"),
        trade(5, 0, timestamp=10**18), trade(6, 0, order="o" * 300), trade("7" * 300, 0), trade(8, 0, id="a\x07"),  # type: ignore[arg-type]
        movement(9, 0, "deposit", "1e30"), movement(10, 0, "deposit", "1", "A B"), movement(11, 0, "deposit", "1", txid=" "),
        movement(12, 0, "deposit", "1", comment="x\x00"), trade(13, 0, fee={"cost": f"1.{'0' * 300}1", "currency": "A"}),
    ]  # fmt: skip
    report = imported(keeper, written(tmp_path, *odd, trade(99, 1)))
    assert (report.quarantine, dict(report.added)) == (len(odd), {"fill": 1})
