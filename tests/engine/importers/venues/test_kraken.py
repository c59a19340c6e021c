"""`kraken`: the ledger's rows that belong together, and the trades beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.importers.items import Item, Sample, Unreadable
from engine.importers.venues import kraken
from engine.importers.venues.kraken.names import asset_name, split_pair
from engine.importers.venues.reading import Odd
from ledger.amounts import amount_text
from tests.engine.importers import import_support
from tests.engine.importers.import_support import imported
from tests.engine.importers.venues.venues_support import contracts, net, passed_over, read, reasons, rows, told
from tests.support import BOOK

OLD = '"txid","refid","time","type","subtype","aclass","asset","amount","fee","balance"'
NEW = '"txid","refid","time","type","subtype","aclass","subclass","asset","wallet","amount","fee","balance","amountusd"'
TRADES = "txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers"
NEW_TRADES = (
    "txid,ordertxid,pair,aclass,subclass,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers,posttxid,posstatuscode,"
    "cprice,ccost,cfee,cvol,cmargin,net,costusd,trades"
)


def ledger(*lines: str) -> list[Item]:
    """`refid second type subtype asset amount fee` a row; the txid is the row's number, empty after a `-`."""
    given = []
    for number, text in enumerate(lines, 1):
        refid, second, kind, subtype, asset, amount, fee = text.lstrip("-").split()
        txid = "" if text.startswith("-") else f"L{number}"
        subtype = "" if subtype == "." else subtype
        given.append(
            f'"{txid}","{refid}","2024-01-01 00:00:{second}","{kind}","{subtype}","currency","{asset}",{amount},{fee},""'
        )
    return read(kraken.KIND, "\n".join([OLD, *given]))


def test_a_trade_is_two_rows_of_one_reference_in_any_order() -> None:
    items = ledger(
        "T1 01 trade . ZUSD -100 0.26", "T2 01 trade . ZUSD -30 0", "T1 01 trade . XXBT 0.5 0", "T2 01 trade . XETH 3 0"
    )
    assert told(items) == ["buy 0.5 BTC for 100 USD fee 0.26 USD", "buy 3 ETH for 30 USD fee 0 USD"]
    assert [row.id for row in rows(items)] == ["trade:T1", "trade:T2"]


def test_a_fee_in_credits_and_a_rebate() -> None:
    items = ledger("T 01 trade . XXRP -10 0", "T 01 trade . ZUSD 5 -0.01", "T 01 trade . KFEE 0 0.5")
    assert told(items) == ["sell 10 XRP for 5 USD fee -0.01 USD", "fee -0.5 KFEE"]
    assert net(items) == {"XRP": "-10", "USD": "5.01", "KFEE": "-0.5"}


def test_a_trade_of_four_legs_is_added_up_by_asset() -> None:
    items = ledger(
        "T 01 trade . ZUSD -60 0.1", "T 01 trade . XXBT 0.3 0", "T 01 trade . ZUSD -40 0.2", "T 01 trade . XXBT 0.2 0"
    )
    assert told(items) == ["buy 0.5 BTC for 100 USD fee 0.3 USD"]


def test_many_assets_that_become_one_are_a_conversion() -> None:
    items = ledger("T 01 spend . ADA -1 0", "T 01 spend . DOT -2 0.1", "T 01 receive . ZUSD 3 0")
    assert net(items) == {"ADA": "-1", "DOT": "-2.1", "USD": "3"}
    assert [text.split()[0] for text in told(items)] == ["conversion", "conversion", "fee", "conversion"]


def test_one_side_of_a_trade_is_no_trade() -> None:
    assert reasons(ledger("T 01 trade . ZUSD -60 0.1")) == [
        "of this trade only one side is in the file: export a longer period"
    ]


def test_pending_rows_are_passed_over_and_come_again() -> None:
    items = ledger("-D 01 deposit . ZUSD 60 0", "D 02 deposit . ZUSD 60 0.5")
    assert passed_over(items) == ["pending"]
    assert told(items) == ["in 60 USD", "fee -0.5 USD"]


def test_a_withdrawal_that_failed_comes_back_with_its_fee() -> None:
    items = ledger("W 01 withdrawal . XXBT -1 0.001", "X 02 deposit . ZUSD 1 0", "W 03 withdrawal . XXBT 1 -0.001")
    assert told(items) == ["in 1 USD", "out 1 BTC", "fee -0.001 BTC", "in 1 BTC", "fee 0.001 BTC"]
    assert net(ledger("W 01 withdrawal . XXBT -1 0.001", "W 03 withdrawal . XXBT 1 0")) == {"BTC": "-0.001"}


def exported(folder: Path, *rows: str) -> Path:
    path = folder / "ledgers.csv"
    path.write_text("\n".join([OLD, *rows]))
    return path


@pytest.mark.parametrize("files", [("ledger", "trades"), ("trades", "ledger"), ("trades", "both"), ("ledger", "both")])
def test_the_other_file_of_a_trade_adds_nothing_later(
    keeper: Bookkeeper, tmp_path: Path, files: tuple[str, str]
) -> None:
    """The ledger has a trade to the second, the trades its fraction, its order and who was the maker."""
    ledgers, trades = tmp_path / "ledgers.csv", tmp_path / "trades.csv"
    row = '"L{}","T","2024-01-01 00:00:40","trade","","currency","{}",{},{},""'
    ledgers.write_text("\n".join([OLD, row.format(1, "ZUSD", -100, 0.26), row.format(2, "XXRP", 50, 0)]))
    trades.write_text(
        f"{NEW_TRADES},maker\nT,O,XRP/USD,forex,crypto,2024-01-01 00:00:40.5178,buy,limit,2,100,0.26,50,0,,{',' * 11}true"
    )
    paths = {"ledger": [ledgers], "trades": [trades], "both": [ledgers, trades]}
    added = [imported(keeper, *paths[name], kind="kraken") for name in files]
    assert [(report.added.total(), report.quarantine) for report in added] == [(1, 0), (0, 0)]
    assert import_support.balances(keeper) == {"USD": "-100.26", "XRP": "50"}


def test_another_amount_of_a_trade_is_quarantined(keeper: Bookkeeper, tmp_path: Path) -> None:
    row = '"L{}","T","2024-01-01 00:00:40","trade","","currency","{}",{},{},""'
    for paid, quarantined in ((-100, 0), (-101, 1)):
        path = exported(tmp_path, row.format(1, "ZUSD", paid, 0.26), row.format(2, "XXRP", 50, 0))
        assert imported(keeper, path, kind="kraken").quarantine == quarantined


FAILED = (
    '"L0","D","2024-01-01 00:00:00","deposit","","currency","RLUSD",100,0,100',
    '"L1","W","2024-01-02 00:00:00","withdrawal","","currency","RLUSD",-10,0.5,89.5',
    '"L2","W","2024-01-03 00:00:00","withdrawal","","currency","RLUSD",10,-0.5,100',
)


def test_a_withdrawal_that_failed_is_no_capital(keeper: Bookkeeper, tmp_path: Path) -> None:
    report = imported(keeper, exported(tmp_path, *FAILED), kind="kraken")
    assert (report.internal, report.quarantine, list(report.waiting)) == (2, 0, [])
    assert import_support.balances(keeper) == {"RLUSD": "100"}
    assert amount_text(keeper.view(BOOK).state.basis.net_deposits) == "100"


def test_a_withdrawal_that_failed_after_it_was_recorded_comes_back(keeper: Bookkeeper, tmp_path: Path) -> None:
    imported(keeper, exported(tmp_path, *FAILED[:2]), kind="kraken", price_from="marks")
    assert import_support.balances(keeper) == {"RLUSD": "89.5"}
    imported(keeper, exported(tmp_path, *FAILED), kind="kraken", price_from="marks")
    assert import_support.balances(keeper) == {"RLUSD": "100"}
    assert amount_text(keeper.view(BOOK).state.basis.net_deposits) == "100"


def test_newer_types() -> None:
    items = ledger("C 01 custodytransfer . XXRP -1 0", "N 02 nftrebate . ZUSD 2 0")
    assert sorted(told(items)) == ["out 1 XRP", "reward 2 USD"]


def test_into_staking_is_one_conversion_of_two_references() -> None:
    items = ledger(
        "A 01 transfer spottostaking XETH -2 0", "C 02 deposit . ZUSD 1 0", "B 03 transfer stakingfromspot ETH2.S 2 0"
    )
    conversions = [fact for row in rows(items) for fact in row.facts if getattr(fact, "reason", "") == "conversion"]
    assert net(items) == {"ETH": "-2", "ETH2.S": "2", "USD": "1"}
    assert {getattr(fact, "group", "A") for fact in conversions} == {"A"}
    assert [row.id for row in rows(items) if row.facts[0] in conversions] == ["L1", "L3"]


def test_margin_is_a_contract_and_no_fill() -> None:
    items = ledger("M 01 margin . ZUSD -12 0.4", "M 02 rollover . ZUSD 0 0.1")
    assert told(items) == ["realised -12 USD", "fee -0.4 USD", "funding -0.1 USD"]
    assert contracts(items) == ["USD on margin"] * 2
    row = "T,O,XXBTZUSD,2024-01-01 00:00:00,buy,limit,40000,4000,6.4,0.1,800,,L"
    items = read(kraken.KIND, f"{TRADES}\n{row}")
    assert told(items) == ["fee -6.4 USD"]
    assert contracts(items) == ["XXBTZUSD on margin"]


def test_a_position_that_both_files_have_is_counted_once() -> None:
    of_ledger = '"L1","T","2024-01-01 00:00:00","margin","","currency","ZUSD",-12,6.4,""'
    of_trades = "T,O,XXBTZUSD,2024-01-01 00:00:00,buy,limit,40000,4000,6.4,0.1,800,,L1"
    items = read(kraken.KIND, f"{OLD}\n{of_ledger}", f"{TRADES}\n{of_trades}")
    assert told(items) == ["realised -12 USD", "fee -6.4 USD"]


@pytest.mark.parametrize("kind", ["staking", "dividend", "reward", "airdrop"])
def test_rewards(kind: str) -> None:
    assert told(ledger(f"S 01 {kind} . DOT.S 0.25 0.01")) == ["reward 0.25 DOT.S", "fee -0.01 DOT.S"]


def test_an_unknown_type_is_quarantined() -> None:
    assert reasons(ledger("S 01 novelty . DOT 1 0")) == ["the type 'novelty' is not understood"]


def test_the_new_layout_with_wallets() -> None:
    """Allocating to Earn moves between wallets of one's own; each wallet has a balance of its own."""
    items = read(
        kraken.KIND,
        "\n".join(
            [
                NEW,
                '"L1","D","2024-01-01 00:00:00","deposit","","currency","crypto","BTC","spot / main",1,0,1,"40000"',
                '"L2","E","2024-01-02","earn","allocation","currency","crypto","BTC","spot / main",-0.5,0,0.5,"1"',
                '"L3","E","2024-01-02","earn","allocation","currency","crypto","BTC","earn / flexible",0.5,0,0.5,""',
                '"L4","R","2024-01-03","earn","reward","currency","crypto","BTC","earn / flexible",0.01,0.001,0.509,""',
            ]
        ),
    )
    assert sorted(told(items)) == ["fee -0.001 BTC", "in 1 BTC", "reward 0.01 BTC"]
    assert passed_over(items) == ["between wallets of one's own"] * 2
    assert not reasons(items)


BALANCES = (
    ("1", "D", "deposit", "10", "10"),
    ("2", "W", "withdrawal", "-4", "6"),
    ("2", "X", "withdrawal", "-1", "5"),
    ("3", "Y", "deposit", "2", "7"),
)


def balances(*order: int) -> list[str]:
    lines = []
    for number in order:
        day, refid, kind, amount, balance = BALANCES[number]
        lines.append(
            f'"L{refid}","{refid}","2024-01-0{day} 00:00:00","{kind}","","currency","ZUSD",{amount},0,{balance}'
        )
    return reasons(read(kraken.KIND, "\n".join([OLD, *lines])))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (3, 2, 1, 0), (3, 1, 2, 0), (1, 2, 3)])
def test_the_balance_column_fits(order: tuple[int, ...]) -> None:
    assert balances(*order) == []


@pytest.mark.parametrize("order", [(0, 3), (0, 2, 3), (0, 1, 3), (3, 0)])
def test_a_missing_row_shows_in_the_balance_column(order: tuple[int, ...]) -> None:
    (reason,) = balances(*order)
    assert "are missing" in reason


def test_trades_are_the_detail_of_the_ledger() -> None:
    """A trade that the ledger has gives it its order; one that it has not is a fill itself."""
    of_ledger = [
        '"L1","T1","2024-01-01 00:00:01","trade","","currency","ZUSD",-100,0.26,""',
        '"L2","T1","2024-01-01 00:00:01","trade","","currency","XXBT",0.5,0,""',
    ]
    of_trades = [
        "T1,O1,XXBTZUSD,2024-01-01 00:00:01.5,buy,limit,200,100,0.26,0.5,0,,L1",
        "T2,O2,XETHZUSD,2024-01-02 00:00:01.5,sell,limit,10,30,0.1,3,0,,L9",
    ]
    for texts in (
        ["\n".join([TRADES, *of_trades]), "\n".join([OLD, *of_ledger])],
        ["\n".join([OLD, *of_ledger]), "\n".join([TRADES, *of_trades])],
    ):
        items = read(kraken.KIND, *texts)
        assert told(items) == ["buy 0.5 BTC for 100 USD fee 0.26 USD", "sell 3 ETH for 30 USD fee 0.1 USD"]
        assert [vars(row.facts[0])["order_id"] for row in rows(items)] == ["O1", "O2"]
        assert [row.id for row in rows(items)] == ["trade:T1", "trade:T2"]


def test_new_columns_of_trades() -> None:
    row = "T,O,BTC/USD,forex,,2024-01-01 00:00:00.1234,buy,limit,40000,4000,6.4,0.1,0,,L,,,,,,,,,4000,"
    assert told(read(kraken.KIND, f"{NEW_TRADES}\n{row}")) == ["buy 0.1 BTC for 4000 USD fee 6.4 USD"]


@pytest.mark.parametrize(
    ("pair", "assets"),
    [
        ("XXBTZUSD", ("BTC", "USD")), ("XBTUSD", ("BTC", "USD")), ("XXRPXXBT", ("XRP", "BTC")),
        ("XRPRLUSD", ("XRP", "RLUSD")),
        ("ADAUSDT", ("ADA", "USDT")), ("BTC/EUR", ("BTC", "EUR")), ("XDGUSD", ("DOGE", "USD")), ("XTZEUR", ("XTZ", "EUR")),
        ("USDTZUSD", ("USDT", "USD")), ("USDTUSD", ("USDT", "USD")), ("OPUSD", ("OP", "USD")),
    ],
)  # fmt: skip
def test_pairs(pair: str, assets: tuple[str, str]) -> None:
    assert split_pair(pair) == assets


def test_a_pair_of_unknown_assets_is_not_guessed() -> None:
    with pytest.raises(Odd):
        split_pair("ABCDEF")


@pytest.mark.parametrize(
    ("given", "name"), [("XXBT", "BTC"), ("XBT.M", "BTC.M"), ("XTZ", "XTZ"), ("ETH2.S", "ETH2.S"), ("ZEUR", "EUR")]
)
def test_assets(given: str, name: str) -> None:
    assert asset_name(given) == name


def test_another_file_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="none of the known headers"):
        read(kraken.KIND, "a,b,c\n1,2,3")
    assert not kraken.KIND.recognises(Sample("file", b"a,b,c"))
    assert kraken.KIND.recognises(Sample("file", b"\xef\xbb\xbf" + NEW.encode()))


def test_a_row_that_is_not_utf_8_is_quarantined() -> None:
    """A source gives bytes that are not UTF-8 as lone surrogates."""
    row = "T,O\udcff,XXBTZUSD,2024-01-01 00:00:00,buy,limit,40000,4000,6.4,0.1,0,,L"
    assert reasons(read(kraken.KIND, f"{TRADES}\n{row}")) == ["the row is not UTF-8"]
