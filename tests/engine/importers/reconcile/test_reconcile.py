"""`reconcile`: what is off is found to the digit, with its likely cause; only what is small is adjusted, and said before."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject
from engine.importers.items import Unreadable
from engine.importers.reconcile.adjusting import AdjustmentReport, Terms, adjust, reconciled
from engine.importers.reconcile.balances import Balance, Balances, read_balances
from engine.importers.reconcile.comparing import compare
from engine.importers.times import TimeReader
from engine.proof.check import check
from ledger.amounts import amount_text
from ledger.errors import NetbasisError, VersionPassed
from projections.marks import Price
from projections.pnl import pnl
from tests.cli_support import Cli, assert_refused
from tests.ledger.database.store_support import content, fill
from tests.support import BOOK, START, event, it_is, log_of, open_keeper

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def desk(keeper: Bookkeeper) -> Bookkeeper:
    """186.70 RLUSD and 10 XRP, at a mark of 1.33."""
    inject(keeper, BOOK, Movement("200"))
    keeper.append(BOOK, fill("f1", fee_asset="RLUSD", fee_amount="0"))
    keeper.append(BOOK, event("mark", asset="XRP", price="1.33"))
    return keeper


def stated(**balances: str) -> Balances:
    return Balances(tuple(Balance(asset, Decimal(amount)) for asset, amount in sorted(balances.items())), False)


def compared(keeper: Bookkeeper, balances: Balances, **prices: str) -> Any:
    given = {asset: Price(Decimal(price), "test", START) for asset, price in prices.items()}
    return compare(keeper.database, BOOK, balances, at=None, now=keeper.now(), prices=given)


def planned(keeper: Bookkeeper, most: str = "1", **balances: str) -> AdjustmentReport:
    return reconciled(keeper, BOOK, stated(**balances), at=None, prices={}, most=Decimal(most))


def adjusted(keeper: Bookkeeper, most: str = "1", **balances: str) -> AdjustmentReport:
    terms = Terms("nightly", Decimal(most), "owner")
    return adjust(keeper, BOOK, planned(keeper, most, **balances), terms)


def proposals(keeper: Bookkeeper) -> list[Any]:
    with keeper.database.reading() as connection:
        found = inbox.entries(connection, BOOK, sorts=inbox.PROPOSALS, all_of_them=True)
    return [(entry.asset, entry.amount, entry.status) for entry in found]


# Reading

FORMS: dict[str, tuple[str, object, list[tuple[str, str, datetime | None]]]] = {
    "an object": ("b.json", '{"XRP": "51.20", "RLUSD": 19.5}', [("RLUSD", "19.5", None), ("XRP", "51.2", None)]),
    "all its digits": (
        "b.json",
        '{"XRP": 0.1234567890123456789012345678901234}',
        [("XRP", "0.1234567890123456789012345678901234", None)],
    ),
    "ccxt": (
        "b.json",
        '{"info":{"a":1},"timestamp":1772323200000,"datetime":null,"free":{"XRP":1},"used":{"XRP":2},'
        '"total":{"XRP":3,"BTC":1e-8,"GONE":null},"XRP":{"free":1,"used":2,"total":3}}',
        [("BTC", "0.00000001", AT), ("XRP", "3", AT)],
    ),
    "ccxt's assets without totals": (
        "b.json",
        '{"info":{},"XRP":{"free":1.5,"used":2},"BTC":{"free":"1","used":null,"total":null}}',
        [("BTC", "1", None), ("XRP", "3.5", None)],
    ),
    "account_info of the XRP Ledger": (
        "b.json",
        '{"result":{"account_data":{"Account":"rMe","Balance":"51200001"},"validated":true}}',
        [("XRP", "51.200001", None)],
    ),
    "account_lines of the XRP Ledger": (
        "b.json",
        '{"result":{"account":"rMe","lines":[{"account":"rMxCK","balance":"19.5","currency":'
        '"524C555344000000000000000000000000000000","limit":"1000"}]}}',
        [("RLUSD.rMxCK", "19.5", None)],
    ),
    "Balance of Kraken": (
        "b.json",
        '{"error":[],"result":{"ZUSD":"19.50","XXRP":"3"}}',
        [("USD", "19.5", None), ("XRP", "3", None)],
    ),
    "a list": ("b.json", '[{"currency":"XRP","balance":"3"}]', [("XRP", "3", None)]),
    "csv": ("b.csv", "asset,amount\nXRP,3\n\nRLUSD,-1.50\n", [("RLUSD", "-1.5", None), ("XRP", "3", None)]),
    "csv with times": (
        "b.csv",
        "\ufeffAsset;Amount;At\nXRP;4;2026-03-01T00:00:00Z\nXRP;3;2026-02-01T00:00:00Z\nXRP;5;2026-04-01T00:00:00Z\n",
        [("XRP", "4", AT)],
    ),
}


def read(path: object, *more: str, **given: object) -> list[tuple[str, str, datetime | None]]:
    found = read_balances([str(path), *more], aliases={}, times=TimeReader(UTC), until=AT + timedelta(days=1))
    return [(balance.asset, amount_text(balance.amount), balance.at) for balance in found.stated]


@pytest.mark.parametrize("form", FORMS)
def test_balances_are_read_as_they_are_written(form: str, tmp_path: Path) -> None:
    name, text, expected = FORMS[form]
    (tmp_path / name).write_text(str(text), "utf-8")
    assert read(tmp_path / name) == expected


def test_of_a_wallet_history_the_newest_row_counts_that_is_not_after_the_time(tmp_path: Path) -> None:
    path = tmp_path / "tradesv3.sqlite"
    with sqlite3.connect(path) as made:
        made.execute(
            "CREATE TABLE wallet_history (id INTEGER PRIMARY KEY, timestamp DATETIME, currency VARCHAR, balance FLOAT)"
        )
        rows = [("2026-02-01 00:00:00.000000", "XRP", 1.1), ("2026-03-01 00:00:00.000000", "XRP", 0.1 + 0.2)]
        rows += [("2026-04-01 00:00:00.000000", "XRP", 9.0), ("2026-02-01 00:00:00.000000", "USDT", 5.0)]
        made.executemany("INSERT INTO wallet_history (timestamp, currency, balance) VALUES (?, ?, ?)", rows)
    made.close()
    assert read(path) == [("USDT", "5", datetime(2026, 2, 1, tzinfo=UTC)), ("XRP", "0.30000000000000004", AT)]


KRAKEN = '"txid","refid","time","type","subtype","aclass","asset","wallet","amount","fee","balance"'
KRAKEN_ROWS = (
    '"L1","R1","2025-01-01 00:00:00","deposit","","currency","ZUSD","spot / main",1000,0,1000',
    '"L2","T1","2025-01-02 00:00:00","trade","","currency","ZUSD","spot / main",-100,0.25,899.75',
    '"L3","T1","2025-01-02 00:00:00","trade","","currency","XXRP","spot / main",50,0,50',
    # Two fills of one second, in any order.
    '"L5","T3","2025-01-02 00:00:05","trade","","currency","XXRP","spot / main",5,0,65',
    '"L4","T2","2025-01-02 00:00:05","trade","","currency","XXRP","spot / main",10,0,60',
    '"L6","E1","2025-01-03 00:00:00","earn","allocation","currency","XXRP","spot / main",-20,0,45',
    '"L7","E1","2025-01-03 00:00:00","earn","allocation","currency","XXRP","earn / flexible",20,0,20',
    '"","W1","2025-01-04 00:00:00","withdrawal","","currency","XXRP","spot / main",-20,0,""',
)
COINBASE = (
    "portfolio,type,time,amount,balance,amount/balance unit,transfer id,trade id,order id\n"
    "default,deposit,2025-01-01T00:00:00Z,100.00,100.00,EUR,d1,,\n"
    "default,match,2025-01-02T00:00:00Z,-81.00,19.00,EUR,,7,o\n"
    "savings,deposit,2025-01-01T00:00:00Z,5.00,5.00,EUR,d2,,\n"
)


def day(number: int, second: int = 0) -> datetime:
    return datetime(2025, 1, number, 0, 0, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "until", "expected"),
    [
        ("\n".join([KRAKEN, *KRAKEN_ROWS]), None, [("USD", "899.75", day(2)), ("XRP", "65", day(3))]),
        ("\n".join([KRAKEN, *reversed(KRAKEN_ROWS)]), None, [("USD", "899.75", day(2)), ("XRP", "65", day(3))]),
        ("\n".join([KRAKEN, *KRAKEN_ROWS]), day(2, 5), [("USD", "899.75", day(2)), ("XRP", "65", day(2, 5))]),
        ("\n".join([KRAKEN, *KRAKEN_ROWS]), day(1), [("USD", "1000", day(1))]),
        (COINBASE, None, [("EUR", "24", day(2))]),
    ],
)
def test_a_statement_ends_with_its_balance_column(
    text: str, until: datetime | None, expected: list[object], tmp_path: Path
) -> None:
    path = tmp_path / "statement.csv"
    path.write_text(text)
    found = read_balances([str(path)], aliases={}, times=TimeReader(), until=until)
    assert [(each.asset, amount_text(each.amount), each.at) for each in found.stated] == expected
    assert not found.is_complete  # it names only what moved


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.csv", "asset,amount\n"),
        ("b.csv", "asset,amount,at\nXRP,1,2026-06-01T00:00:00Z\n"),
        ("b.json", "{}"),
        ("b.csv", "\n".join([KRAKEN, KRAKEN_ROWS[-1]])),
    ],
)
def test_a_file_without_a_balance_does_not_say_that_the_venue_has_nothing(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Unreadable, match="states no balance"):
        read(tmp_path / name)


def test_amounts_are_given_with_a_file_or_alone(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("asset,amount\nXRP,3\n")
    assert read("BTC=1", str(tmp_path / "b.csv")) == [("BTC", "1", None), ("XRP", "3", None)]
    named = read_balances(["XBT=1"], aliases={"XBT": "BTC"}, times=TimeReader(UTC))
    assert (named.stated, named.is_complete) == ((Balance("BTC", Decimal(1)),), False)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"XRP": "many"}',
        '{"XRP": {}}',
        "asset,size\nXRP,3\n",
        "asset,amount\nXRP,3\nXRP,4\n",
        '{"XRP": true}',
    ],
)
def test_what_is_no_balance_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "b").write_text(text)
    with pytest.raises(Unreadable):
        read(tmp_path / "b")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b"
        path.write_bytes(content)
        with suppress(Unreadable, NetbasisError):
            read(path)


# Comparing


def test_what_agrees_is_not_off(desk: Bookkeeper) -> None:
    found = compared(desk, stated(RLUSD="186.70", XRP="10"))
    assert not found.is_off
    assert [each.cause for each in found.found] == [None, None]


def test_a_difference_is_exact_and_has_its_worth(desk: Bookkeeper) -> None:
    (found,) = compared(desk, stated(XRP="10.000000000000000001")).found
    assert (found.expected, found.difference) == (10, Decimal("1e-18"))
    assert found.worth == Decimal("1e-18")  # 1.33e-18, rounded to 18 decimals
    (priced,) = compared(desk, stated(ETH="1"), ETH="2000").found
    (unpriced,) = compared(desk, stated(ETH="1")).found
    assert (priced.worth, unpriced.worth) == (2000, None)


def test_of_a_whole_file_what_it_does_not_name_is_not_there(desk: Bookkeeper) -> None:
    found = compared(desk, Balances((Balance("RLUSD", Decimal("186.7")),), is_complete=True))
    assert [(each.asset, each.difference) for each in found.found] == [("RLUSD", 0), ("XRP", -10)]


def test_each_balance_is_compared_at_its_own_time(desk: Bookkeeper) -> None:
    it_is(desk, AT + timedelta(days=9))
    desk.append(BOOK, event("deposit", asset="RLUSD", amount="5", at=AT + timedelta(days=2)))
    stands = Balances(
        (Balance("RLUSD", Decimal("186.7"), AT), Balance("XRP", Decimal(10), AT + timedelta(days=3))), is_complete=True
    )
    assert not compared(desk, stands).is_off
    assert compared(desk, stated(RLUSD="186.7")).is_off


def missing_fill(keeper: Bookkeeper) -> Balances:
    return stated(RLUSD="173.30", XRP="20")


def duplicate(keeper: Bookkeeper) -> Balances:
    keeper.append(BOOK, fill("f2", fee_asset="RLUSD", fee_amount="0"))
    return stated(XRP="10")


def unknown_fee(keeper: Bookkeeper) -> Balances:
    keeper.append(BOOK, event("fill", **{**_FILL, "key": "u"}))
    return stated(RLUSD="172.39")


def other_asset(keeper: Bookkeeper) -> Balances:
    keeper.append(BOOK, event("deposit", asset="BNB", amount="1", price="600"))
    return stated(BNB="0.99")


def reversed_event(keeper: Bookkeeper) -> Balances:
    keeper.append(BOOK, event("reversal", reverses=2))
    return stated(RLUSD="186.70")


_FILL = {"side": "buy", "base_asset": "XRP", "base_amount": "10", "quote_asset": "RLUSD", "quote_amount": "13.30"}
CAUSES: dict[str, tuple[Callable[[Bookkeeper], Balances], str]] = {
    "a fill": (missing_fill, "a fill that is missing: 10 XRP bought for 13.4 RLUSD, at 1.34"),
    "a duplicate": (duplicate, "versions 3 and 5 are alike: one may be a duplicate"),
    "an unknown fee": (unknown_fee, "a fee: 1 fill has none recorded"),
    "a fee in another asset": (other_asset, "fees in BNB, which no fill names"),
    "a reversal": (reversed_event, "the deposit at version 2, which version 5 reversed"),
    "nothing": (lambda keeper: stated(XRP="11"), "None"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_likely_cause_is_named_where_the_data_shows_it(desk: Bookkeeper, cause: str) -> None:
    prepare, expected = CAUSES[cause]
    found = compared(desk, prepare(desk)).found
    assert str(found[-1].cause) == expected


# Adjusting


def test_what_is_small_is_adjusted_and_moves_pnl_by_what_was_said(desk: Bookkeeper) -> None:
    before = desk.view(BOOK).state
    plan = planned(desk, RLUSD="186.69", XRP="10.5")
    assert (plan.actions, plan.pnl_delta) == ({"RLUSD": "adjust", "XRP": "adjust"}, Decimal("0.655"))
    assert len(log_of(desk)) == 4
    adjusted(desk, RLUSD="186.69", XRP="10.5")
    after = desk.view(BOOK).state
    was, now = (pnl(state, state.marks, "RLUSD").total_pnl for state in (before, after))
    assert now - was == plan.pnl_delta  # type: ignore[operator]
    made = log_of(desk)[-1].event
    assert (made.reason, made.source_note, made.actor) == ("reconciliation", "nightly", "owner")  # type: ignore[attr-defined]
    assert not compared(desk, stated(RLUSD="186.69", XRP="10.5")).is_off
    assert check(desk.database, BOOK).ok


def test_what_is_larger_or_of_unknown_worth_is_proposed_and_replaced_or_withdrawn(desk: Bookkeeper) -> None:
    done = adjusted(desk, RLUSD="236.70", ETH="1", XRP="10.1")
    assert done.is_off
    assert done.actions == {"ETH": "propose", "RLUSD": "propose", "XRP": "adjust"}
    assert proposals(desk) == [("ETH", 1, "waiting"), ("RLUSD", 50, "waiting")]
    adjusted(desk, RLUSD="246.70", ETH="1")
    assert proposals(desk) == [("ETH", 1, "waiting"), ("RLUSD", 60, "waiting")]
    adjusted(desk, RLUSD="186.70")
    assert proposals(desk) == [("ETH", 1, "waiting"), ("RLUSD", 60, "withdrawn")]


def test_the_limit_is_what_is_said(desk: Bookkeeper) -> None:
    assert planned(desk, "50", RLUSD="236.70").actions == {"RLUSD": "adjust"}
    assert planned(desk, "49.99", RLUSD="236.70").actions == {"RLUSD": "propose"}
    assert planned(desk, "49.99", RLUSD="136.70").actions == {"RLUSD": "propose"}


def test_a_book_that_has_moved_since_is_not_adjusted(desk: Bookkeeper) -> None:
    plan = planned(desk, RLUSD="186.69")
    desk.append(BOOK, event("adjustment", asset="RLUSD", amount="-0.01", reason="fee"))
    before = content(desk.database)
    with pytest.raises(VersionPassed):
        adjust(desk, BOOK, plan, Terms("nightly", Decimal(1)))
    assert content(desk.database) == before


def test_the_same_difference_found_again_later_is_another_one(desk: Bookkeeper) -> None:
    for _ in range(2):
        assert len(adjusted(desk, XRP="10.5").outcomes) == 1
        desk.append(BOOK, event("adjustment", asset="XRP", amount="-0.5", reason="dust"))
    assert desk.view(BOOK).state.inventory.balance("XRP") == 10


def waiting_deposit(keeper: Bookkeeper, asset: str, amount: str) -> None:
    now = keeper.now()
    with keeper.transaction(BOOK) as transaction:
        proposal = inbox.Proposal(asset, Decimal(amount), now, "")
        (entry,) = inbox.propose(transaction.connection, BOOK, [proposal], now)
        movement = {name: getattr(entry, name) for name in entry.__slots__} | {"sort": "movement"}
        inbox.save(transaction.connection, BOOK, inbox.Entry(**movement))


def test_nothing_of_an_asset_that_waits_in_the_inbox_is_adjusted_or_proposed(desk: Bookkeeper) -> None:
    waiting_deposit(desk, "XRP", "0.5")
    done = adjusted(desk, XRP="10.5", RLUSD="186.69")
    assert done.actions == {"XRP": "wait", "RLUSD": "adjust"}
    assert done.is_off
    assert done.comparison.found[1].cause == "entry 1 of the inbox, a deposit of this amount that waits"
    plan = planned(desk, RLUSD="186.68")
    waiting_deposit(desk, "RLUSD", "1")
    with pytest.raises(VersionPassed):
        adjust(desk, BOOK, plan, Terms("nightly", Decimal(1)))


_amounts = st.integers(-(10**9), 10**9).map(lambda count: Decimal(count).scaleb(-4))


@settings(max_examples=settings().max_examples // 2)
@given(st.dictionaries(st.sampled_from(["RLUSD", "XRP", "BTC"]), _amounts), st.sampled_from(["0.01", "1", "100000"]))
def test_afterwards_all_is_as_stated_but_for_what_is_proposed(actual: dict[str, Decimal], most: str) -> None:
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder)) as keeper:
        keeper.append(BOOK, event("mark", asset="XRP", price="0.5"))
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100"))
        done = adjusted(keeper, most, **{asset: str(amount) for asset, amount in actual.items()})
        balances = keeper.view(BOOK).state.inventory
        for each in done.comparison.found:
            taken = done.actions[each.asset] in ("adjust", "nothing")
            assert balances.balance(each.asset) == (each.actual if taken else each.expected)
            limit = each.worth is not None and abs(each.worth) <= Decimal(most)
            assert taken == limit or each.actual == each.expected
        assert {asset for asset, _, _ in proposals(keeper)} == {
            asset for asset, action in done.actions.items() if action == "propose"
        }


# The command


def test_the_command_exits_with_1_when_something_is_off_and_writes_only_with_adjust(cli: Cli) -> None:
    cli.here("inject", "100")
    before = cli.unchanged()
    assert cli.here("reconcile", "--balances", "RLUSD=100").code == 0
    off = cli.here("reconcile", "--balances", "RLUSD=99.5", "-O", "json")
    assert off.code == 1
    (asset,) = json.loads(off.out)["assets"]
    assert (asset["expected"], asset["actual"], asset["difference"]) == ("100", "99.5", "-0.5")
    assert cli.here("reconcile", "RLUSD=99.5", "--adjust").code == 2
    shown = cli.here("reconcile", "RLUSD=99.5", "--adjust", "--reason", "dust", "--dry-run")
    assert (shown.code, "PnL would move by -0.50 RLUSD" in shown.out) == (1, True)
    assert cli.unchanged() == before
    done = cli.here("reconcile", "RLUSD=99.5", "--adjust", "--reason", "dust")
    assert (done.code, "PnL moves by -0.50 RLUSD" in done.out) == (0, True)
    larger = cli.here("reconcile", "RLUSD=150", "--adjust", "--reason", "dust")
    assert (larger.code, "inbox resolve 1 --as" in larger.out) == (1, True)
    assert cli.here("reconcile", "--balances", "nowhere.json").code == 1


@pytest.mark.parametrize("given", [["--max-adjust", "-1", "--reason", "x"], ["--reason", " "], []])
def test_an_adjustment_needs_a_reason_and_a_limit(cli: Cli, given: list[str]) -> None:
    cli.here("init")
    assert_refused(cli.here("reconcile", "RLUSD=1", "--adjust", *given), 2, "usage", "adjust")
    assert cli.here("reconcile", "RLUSD=0").code == 0
