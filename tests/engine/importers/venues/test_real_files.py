"""Real files of venues and bots, whose figures were computed independently; where they are not at hand, this is skipped."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.importers.items import Contract, Item, Kind, PassedOver, QuarantinedRow, Row, Settings, Unreadable
from engine.importers.sources import sample_of, source_named
from engine.importers.venues import binance, coinbase, freqtrade, hummingbot, kraken, xrpl
from engine.importers.venues.kraken.names import asset_name
from engine.importers.venues.reading import postings
from engine.importers.venues.xrpl.balances import currency_name
from ledger.amounts import add
from tests.support import ROOT

DATA = ROOT.parent / "shared" / "data"
ACCOUNTS = (
    "rEepZ4ok2UWuvBedU54XjfjxeiePexxEsq",
    "rBQkEKFMnBjc19DRaY7ThLJ2woqQManbTt",
    "rwvLbHQtU16BwQJyrQb9cfFKvx13Ksbkja",
)
CSV_KINDS: dict[str, Kind] = {"kraken": kraken.KIND, "binance": binance.KIND, "coinbase": coinbase.KIND}


def expected(name: str) -> dict[str, Any]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"the real files are not at hand: there is no shared/data/{name} beside the checkout")
    found = json.loads(path.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def read(kind: Kind, path: Path, **settings: Any) -> list[Item]:
    return list(kind.read([source_named(str(path))], Settings(numeraire="EUR", **settings)))


def net(items: list[Item]) -> dict[str, Decimal]:
    return postings(fact for item in items if isinstance(item, Row) for fact in item.facts)


def exact(figures: dict[str, str]) -> dict[str, Decimal]:
    """Expected figures by the book's name of their asset; those of 0 are left out."""
    found: dict[str, Decimal] = {}
    for asset, text in figures.items():
        currency, point, peer = asset.partition(".")
        name = f"{currency_name(currency)}.{peer}" if point and peer[:1] == "r" else asset_name(asset)
        found[name] = add(found.get(name, Decimal(0)), Decimal(text))
    return {asset: amount for asset, amount in found.items() if amount}


def test_each_transaction_moves_what_the_metadata_say() -> None:
    quarantined = set()
    for name, transaction in expected("xrpl/expected_tx.json")["tx"].items():
        for account, changes in transaction["balance_changes"].items():
            items = read(xrpl.KIND, DATA / "xrpl" / "tx" / name, account=account)
            if any(isinstance(item, QuarantinedRow) for item in items):
                quarantined.add((name, next(item.reason for item in items if isinstance(item, QuarantinedRow))))
                assert net(items) == {}
            else:
                assert net(items) == exact(changes), (name, account)
    # A fixture of another project: no TrustSet of the real ledger moves a balance.
    assert {name for name, _ in quarantined} == {"xrplpy_trustline_create.json"}
    assert all("residual" in reason for _, reason in quarantined)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_account_tx_adds_up_to_the_closing_balance(account: str) -> None:
    figures = expected("xrpl/expected_account_tx.json")["accounts"][account]
    for path in sorted((DATA / "xrpl" / "account_tx").glob(f"{account}_*.json")):
        items = read(xrpl.KIND, path, account=account)
        assert not [item for item in items if isinstance(item, QuarantinedRow | Contract)]
        assert net(items) == exact(figures["delta"])
        per_transaction: dict[str, dict[str, Decimal]] = {}
        for item in items:
            if isinstance(item, Row):
                tx_hash = str(item.id).partition(":")[0]
                sums = per_transaction.setdefault(tx_hash, {})
                for asset, amount in postings(item.facts).items():
                    sums[asset] = add(sums.get(asset, Decimal(0)), amount)
        moved = {
            tx_hash: {asset: amount for asset, amount in sums.items() if amount}
            for tx_hash, sums in per_transaction.items()
        }
        listed = {each["hash"]: exact(each["deltas"]) for each in figures["per_tx"] if each["deltas"]}
        assert moved == listed
        ids = [item.id for item in items if isinstance(item, Row)]
        assert len(ids) == len(set(ids))


def test_both_versions_of_the_api_give_the_same_rows() -> None:
    expected("xrpl/expected_account_tx.json")
    one, two = (
        {(item.id, item.at, item.order, item.facts) for item in items if isinstance(item, Row)}
        for items in (
            read(xrpl.KIND, DATA / "xrpl" / "account_tx" / f"{ACCOUNTS[1]}_{version}.json", account=ACCOUNTS[1])
            for version in ("v1", "v2")
        )
    )
    assert one == two


def test_a_whole_ledger_loses_its_fees_only() -> None:
    """XRP is neither made nor lost but for the fees: over all accounts of a ledger, each read from its own side."""
    expected("xrpl/expected_account_tx.json")
    path = DATA / "xrpl" / "ledger_11119600.json"
    transactions = json.loads(path.read_text("utf-8"))["transactions"]
    nodes = [next(iter(node.values())) for each in transactions for node in each["metaData"]["AffectedNodes"]]
    roots = [node.get("FinalFields") or node["NewFields"] for node in nodes if node["LedgerEntryType"] == "AccountRoot"]
    moved = Decimal(0)
    for account in {root["Account"] for root in roots}:
        items = read(xrpl.KIND, path, account=account)
        assert not [item for item in items if isinstance(item, QuarantinedRow)]
        moved = add(moved, net(items).get("XRP", Decimal(0)))
    assert moved == -sum((Decimal(each["Fee"]) for each in transactions), Decimal(0)).scaleb(-6)
    assert moved < 0


CSV_FILES = (
    "kraken/ledgers_uabean.csv",
    "kraken/ledgers_from_rotki_general.csv",
    "kraken/ledgers_from_rotki_staking_spend_receive.csv",
    "kraken/trades_v001.csv",
    "binance/statement_uabean.csv",
    "binance/trades_v001_fee_coin_column.csv",
    "coinbase/pro_fills_v001.csv",
)


@pytest.mark.parametrize("name", CSV_FILES)
def test_csv_adds_up(name: str) -> None:
    figures = expected("csv/expected.json")[name]
    kind = CSV_KINDS[name.partition("/")[0]]
    items = read(kind, DATA / "csv" / name)
    assert net(items) == exact(figures.get("net") or figures["net_amount_minus_fee"])
    # Those of rotki's have made-up balances, which is said; nothing else is wrong in any of them.
    odd = [item.reason for item in items if isinstance(item, QuarantinedRow)]
    assert all("the balance of" in reason for reason in odd)
    assert bool(odd) == ("rotki" in name)
    pending = [item for item in items if isinstance(item, PassedOver) and item.reason == "pending"]
    assert len(pending) == figures.get("rows_with_empty_txid_ignored", 0)
    assert kind.recognises(sample_of(source_named(str(DATA / "csv" / name))))


def test_rows_of_other_columns_than_the_header_are_refused() -> None:
    expected("csv/expected.json")
    items = read(kraken.KIND, DATA / "csv" / "kraken" / "trades_v001b_us_dates_header_mismatch.csv")
    assert [item.reason for item in items if isinstance(item, QuarantinedRow)] == [
        "the row has 13 cells, the header 12"
    ] * 2
    assert len(items) == 2


def test_coinbase_export_is_read_whole() -> None:
    expected("csv/expected.json")
    items = read(coinbase.KIND, DATA / "csv" / "coinbase" / "coinbase_export_2025.csv")
    assert len(items) == 8
    assert net(items) == {
        asset: Decimal(text)
        for asset, text in {
            "BTC": "-0.00029567",
            "ETH": "0.007923387238",
            "ETH2": "-0.007862899326",
            "EUR": "-70",
            "USD": "-70",
            "XRP": "156.145683",
        }.items()
    }


@pytest.mark.parametrize("name", ["hummingbot_kucoin_EDG-USDT", "hummingbot_binance_BTC-USDT"])
def test_hummingbots_database_and_csv_give_the_same(name: str) -> None:
    figures = expected("bots/expected.json")[f"{name}_trades.csv"]
    both = []
    for ending in (".sqlite", "_trades.csv"):
        path = DATA / "bots" / f"{name}{ending}"
        items = read(hummingbot.KIND, path)
        assert net(items) == exact(figures["net_after_fees_if_percent_fee_is_quote"])
        assert hummingbot.KIND.recognises(sample_of(source_named(str(path))))
        assert not freqtrade.KIND.recognises(sample_of(source_named(str(path))))
        both.append({item.id: (item.at, item.facts) for item in items if isinstance(item, Row)})
    assert both[0] == both[1]
    assert len(both[0]) == figures["fills"]


def test_freqtrades_profit_is_that_of_its_fills() -> None:
    figures = expected("bots/expected.json")["freqtrade_2020_dryrun_binanceus.sqlite"]
    items = read(freqtrade.KIND, DATA / "bots" / "freqtrade_2020_dryrun_binanceus.sqlite")
    assert len(items) == 2 * figures["trades"]
    assert set(net(items)) == {"USD"}
    # freqtrade rounds each profit to 8 decimals.
    assert abs(net(items)["USD"] - Decimal(figures["sum_close_profit_abs"])) < Decimal("1e-7")


@pytest.mark.parametrize("name", ["freqtrade_2026_schema_empty", "hummingbot_2025_schema_no_fills"])
def test_the_newest_schemas_are_read_without_a_trace_beside_them(name: str) -> None:
    expected("bots/expected.json")
    path = DATA / "bots" / f"{name}.sqlite"
    kind = freqtrade.KIND if name.startswith("freq") else hummingbot.KIND
    before = sorted(path.parent.iterdir())
    assert kind.recognises(sample_of(source_named(str(path))))
    assert read(kind, path) == []
    assert sorted(path.parent.iterdir()) == before


def test_an_account_has_to_be_named() -> None:
    with pytest.raises(Unreadable, match="--account"):
        read(xrpl.KIND, Path(__file__))


KINDS = (*CSV_KINDS.values(), xrpl.KIND, hummingbot.KIND, freqtrade.KIND)


def test_each_file_is_of_one_kind_at_most() -> None:
    """The folder or the name says of which; files of other venues are of none."""
    expected("csv/expected.json")
    for path in sorted(DATA.glob("*/**/*")):
        if path.suffix not in (".csv", ".json", ".sqlite"):
            continue
        sample = sample_of(source_named(str(path)))
        found = {kind.name for kind in KINDS if kind.recognises(sample)}
        named = {
            name
            for name in (*CSV_KINDS, "hummingbot", "freqtrade")
            if f"csv/{name}/" in str(path) or path.name.startswith(name)
        }
        if "/xrpl/" in str(path) and not path.name.startswith("expected"):
            named = {"xrpl"}
        assert found == (set() if "/ccxt/" in str(path) or "/events/" in str(path) else named), path
