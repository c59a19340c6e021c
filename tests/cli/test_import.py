"""`netbasis import` and `netbasis inbox`: what goes in, what waits, what is held back, and that nothing comes twice."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli_support import Cli, assert_refused
from tests.script_server import GIVE_UP_S

# Names of columns that no venue has, and a mapping that says what they are.
MAPPING = """
time: when
id: ref
rows:
  - when: {what: trade}
    fill:
      {side: side, base_asset: coin, base_amount: qty, quote_asset: {value: RLUSD}, quote_amount: paid,
       fee_asset: {value: RLUSD}, fee_amount: fee}
  - when: {what: in}
    deposit: {asset: coin, amount: qty, tx_hash: hash}
  - when: {what: out}
    withdrawal: {asset: coin, amount: qty, tx_hash: hash}
"""


def trade(number: int, at: str, **more: Any) -> dict[str, Any]:
    """A unified trade."""
    fields = {"id": str(number), "symbol": "XRP/RLUSD", "side": "buy", "amount": "10", "price": "1.5", "cost": "15"}
    return fields | {"datetime": at, "fee": {"currency": "RLUSD", "cost": "0.01"}, "type": "limit", "info": {}} | more


def movement(kind: str, number: int, at: str, currency: str, amount: str, **more: Any) -> dict[str, Any]:
    """A unified deposit or withdrawal."""
    fields = {"id": f"m{number}", "type": kind, "currency": currency, "amount": amount, "status": "ok", "datetime": at}
    return fields | {"fee": None, "network": None, "txid": None} | more


def write(cli: Cli, name: str, entries: list[dict[str, Any]]) -> str:
    """A file of unified entries; its path."""
    return str(cli.folder / cli.write(name, json.dumps(entries)))


def run(cli: Cli, *arguments: str, code: int = 0) -> Any:
    ran = cli.here("import", *arguments, "-O", "json")
    assert ran.code == code, (ran.out, ran.err)
    return ran.json


def counted(document: Any) -> tuple[int, int]:
    """How many events are new, and how many rows existed."""
    return sum(document["added"].values()), document["existed"]


def balances(cli: Cli) -> dict[str, str]:
    return {row["asset"]: row["total"] for row in cli.here("balance", "-O", "json").json["balances"]}


TRADES = [trade(1, "2026-01-02T10:00:00.000Z"), trade(2, "2026-01-02T10:00:00.000Z")]


KRAKEN = (
    "txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers\n"
    "T1,O1,XRPUSD,2024-01-01 00:00:00,buy,limit,2,20,0.05,10,0,,L\n"
)
HUMMINGBOT = (
    "market,symbol,timestamp,order_id,trade_type,price,amount,trade_fee,exchange_trade_id\n"
    "binance,XRP-USDT,1735689600000,o1,BUY,2,10,{},t1\n"
)
FREQTRADE = json.dumps(
    [
        {
            "pair": "XRP/USDT",
            "open_rate": 2,
            "amount": 10,
            "open_date": "2024-01-01 00:00:00",
            "fee_open": 0,
            "is_open": True,
        }
    ]
)


@pytest.mark.parametrize(
    ("kind", "given"), [("kraken", KRAKEN), ("hummingbot", HUMMINGBOT), ("freqtrade", FREQTRADE), (None, KRAKEN)]
)
def test_a_file_may_be_piped(cli: Cli, kind: str | None, given: str) -> None:
    words = ["import", *([kind] if kind else []), "-", "-O", "json"]
    for count in (1, 0):
        ran = cli.run(*words, stdin=given.encode())
        assert (ran.code, sum(ran.json["added"].values())) == (0, count), ran


def test_a_database_may_be_piped(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite"
    with closing(sqlite3.connect(path)) as made:
        made.execute(
            "CREATE TABLE TradeFill (market, symbol, timestamp BIGINT, order_id, trade_type, price BIGINT, amount BIGINT,"
            " trade_fee, exchange_trade_id)"
        )
        made.execute(
            "INSERT INTO TradeFill VALUES ('m', 'A-B', 1735689600000, 'o', 'BUY', 2000000, 1000000, '{}', 't')"
        )
        made.commit()
    for words in (["hummingbot", "-"], ["hummingbot", str(path)]):
        assert cli.run("import", *words, stdin=path.read_bytes()).code == 0
    assert balances(cli) == {"A": "1", "B": "-2"}


def test_a_strict_import_says_that_it_took_nothing(cli: Cli) -> None:
    path = write(cli, "a.json", [*TRADES, trade(3, "2026-01-02T10:00:00.000Z", side="both")])
    ran = cli.here("import", path, "--strict")
    assert (ran.code, ran.lines[0]) == (1, "ccxt: 2 rows; 0 events added")
    assert ran.lines[-1] == "nothing was added: --strict takes all rows or none, and some cannot go in"


def test_importing_again_adds_only_what_is_new(cli: Cli) -> None:
    path = write(cli, "a.json", TRADES)
    assert counted(run(cli, "ccxt", path)) == (2, 0)
    more = write(cli, "b.json", [*TRADES[1:], trade(3, "2026-01-03T10:00:00.000Z")])
    assert counted(run(cli, "ccxt", path, more)) == (1, 2)
    assert balances(cli) == {"RLUSD": "-45.03", "XRP": "30"}
    assert cli.here("check").code == 0


def test_a_dry_run_shows_the_same_and_writes_nothing(cli: Cli) -> None:
    path = write(cli, "a.json", TRADES)
    before = cli.unchanged()
    dry = run(cli, "ccxt", path, "--dry-run")
    assert (counted(dry), dry["written"]) == ((2, 0), False)
    assert cli.unchanged() == before
    assert run(cli, "ccxt", path)["added"] == dry["added"]


def test_the_kind_is_recognised_and_an_unclear_file_says_so(cli: Cli) -> None:
    assert run(cli, write(cli, "a.json", TRADES))["kinds"] == ["ccxt"]
    cli.write("what.txt", "hello\n")
    assert_refused(cli.here("import", str(cli.folder / "what.txt")), 1, "kind_unknown", "name the kind")
    assert_refused(cli.here("import", "ccxt", "nowhere.json"), 1, "file_unreadable", "nowhere.json")
    assert_refused(cli.here("import"), 2, "usage", "KIND FILE")


def test_what_is_not_understood_is_quarantined_and_the_rest_goes_in(cli: Cli) -> None:
    path = write(cli, "a.json", [*TRADES, trade(3, "2026-01-04T10:00:00.000Z", side="sideways")])
    found = run(cli, "ccxt", path, code=1)
    assert (counted(found), found["quarantine"]) == ((2, 0), 1)
    assert found["quarantined"][0]["file"] == path
    text = cli.here("import", "ccxt", path)
    assert (text.code, "quarantined: " in text.err) == (1, True)


def test_strict_takes_all_or_nothing(cli: Cli) -> None:
    before = cli.unchanged()
    found = run(cli, "ccxt", write(cli, "a.json", [*TRADES, {"type": "nonsense"}]), "--strict", code=1)
    assert (found["written"], found["added"]) == (False, {})
    assert cli.unchanged() == before
    assert run(cli, "ccxt", write(cli, "b.json", TRADES), "--strict")["written"]


WAITING = [
    movement("deposit", 1, "2026-01-01T10:00:00.000Z", "RLUSD", "100"),
    movement("deposit", 2, "2026-01-02T09:00:00.000Z", "XRP", "5", txid="AB12"),
    *TRADES,
    movement("withdrawal", 3, "2026-01-05T10:00:00.000Z", "RLUSD", "20"),
]


def test_a_movement_that_lacks_a_price_waits_and_holds_the_later_rows_back(cli: Cli) -> None:
    """All that will have to wait is listed at once; resolved and imported again, it goes on."""
    path = write(cli, "a.json", WAITING)
    found = run(cli, "ccxt", path, code=1)
    assert (found["added"], found["held"]) == ({"deposit": 1}, 3)
    assert [(each["type"], each["asset"], each["cause"]) for each in found["waiting"]] == [
        ("deposit", "XRP", "price_required"),
        ("withdrawal", "RLUSD", "classification_required"),
    ]
    listed = cli.here("inbox", "-O", "json").json["entries"]
    assert [(each["id"], each["sort"], each["status"]) for each in listed] == [
        (1, "movement", "waiting"),
        (2, "movement", "waiting"),
        (3, "held", "waiting"),
    ]
    assert_refused(cli.here("withdraw", "1"), 1, "inbox_pending", "2 imported movements wait", "3 rows")
    assert "waiting in the inbox" in cli.here("balance").out
    assert "waiting in the inbox" in cli.here("pnl").out
    resolved = cli.here("inbox", "resolve", "1", "--price", "XRP=1.4", "-O", "json").json
    assert (resolved["status"], resolved["version"]) == ("resolved", 3)
    answered = cli.here("inbox", "resolve", "2", "--price", "XRP=1.5", "-O", "json").json
    assert (answered["status"], answered["version"]) == ("answered", None)
    again = run(cli, "ccxt", path)
    assert (again["added"], again["held"], again["waiting"]) == ({"fill": 2, "withdrawal": 1}, 0, [])
    assert cli.here("inbox").out == "nothing waits\n"
    assert balances(cli) == {"RLUSD": "49.98", "XRP": "25"}
    assert counted(run(cli, "ccxt", path)) == (0, 5)
    assert cli.here("check").code == 0


def test_the_import_goes_on_past_what_waits_and_the_withdrawal_is_late_then(cli: Cli) -> None:
    entries = [WAITING[0], movement("withdrawal", 3, "2026-01-01T12:00:00.000Z", "RLUSD", "20"), *TRADES]
    found = run(cli, "ccxt", write(cli, "a.json", entries), "--pass", code=1)
    assert (found["added"], found["held"], len(found["waiting"])) == ({"deposit": 1, "fill": 2}, 0, 1)
    assert_refused(cli.here("inbox", "resolve", "1"), 1, "inbox_still_waits", "mark")
    done = cli.here("inbox", "resolve", "1", "--price", "XRP=1.5", "--actor", "ann", "-O", "json").json
    assert done["status"] == "resolved"
    row = next(row for row in cli.here("audit", "basis", "-O", "json").json["rows"] if row["type"] == "withdrawal")
    assert (row["actor"], row["at"]) == ("ann", "2026-01-01T12:00:00.000000Z")
    assert cli.here("check").code == 0


def test_prices_from_fills_are_recorded_as_marks_that_name_them(cli: Cli) -> None:
    entries = [WAITING[0], *TRADES, movement("deposit", 2, "2026-01-02T10:30:00.000Z", "XRP", "5")]
    entries.append(movement("withdrawal", 3, "2026-01-02T10:40:00.000Z", "RLUSD", "20"))
    found = run(cli, "ccxt", write(cli, "a.json", entries), "--price-from", "fills")
    assert found["added"] == {"deposit": 2, "fill": 2, "mark": 1, "withdrawal": 1}
    (mark,) = cli.here("register", "--type", "mark", "-O", "json").json["rows"]
    assert mark["price"] == "1.5"
    too_old = [movement("deposit", 9, "2026-02-02T10:30:00.000Z", "XRP", "5")]
    late = run(cli, "ccxt", write(cli, "b.json", too_old), "--price-from", "fills", code=1)
    assert late["waiting"][0]["cause"] == "mark_stale"


def test_an_entry_that_is_dismissed_does_not_come_back(cli: Cli) -> None:
    path = write(cli, "a.json", [movement("deposit", 2, "2026-01-02T09:00:00.000Z", "XRP", "5"), *TRADES])
    assert run(cli, "ccxt", path, code=1)["held"] == 2
    assert cli.here("inbox", "dismiss", "1", "--reason", "between my own accounts").code == 0
    found = run(cli, "ccxt", path)
    assert (found["added"], found["dismissed"]) == ({"fill": 2}, 1)
    shown = cli.here("inbox", "--all", "-O", "json").json["entries"]
    assert (shown[0]["status"], shown[0]["reason"]) == ("dismissed", "between my own accounts")
    assert_refused(cli.here("inbox", "dismiss", "1", "--reason", "x"), 1, "inbox_entry_settled", "dismissed")
    assert_refused(cli.here("inbox", "resolve", "77"), 1, "inbox_entry_unknown", "77")
    assert_refused(cli.here("inbox", "resolve", "0"), 2, "usage")


def test_a_movement_that_is_there_by_its_hash_counts_once_and_another_amount_waits(cli: Cli) -> None:
    assert cli.here("inject", "50", "--tx-hash", "FEED", "--at", "2026-01-01T10:00:00Z").code == 0
    same = movement("deposit", 1, "2026-01-01T10:00:05.000Z", "RLUSD", "50", txid="feed")
    found = run(cli, "ccxt", write(cli, "a.json", [same]))
    assert (found["added"], found["same"]) == ({}, 1)
    other = movement("deposit", 2, "2026-01-01T10:00:05.000Z", "RLUSD", "51", txid="FEED2")
    assert cli.here("inject", "50", "--tx-hash", "FEED2", "--at", "2026-01-01T11:00:00Z").code == 0
    waits = run(cli, "ccxt", write(cli, "b.json", [other]), code=1)["waiting"]
    assert [(each["cause"], "51" in each["detail"], "50" in each["detail"]) for each in waits] == [
        ("other_amount", True, True)
    ]


def test_a_csv_of_ones_own_is_read_by_a_mapping_and_identical_rows_are_two(cli: Cli) -> None:
    rows = "when,ref,what,side,coin,qty,paid,fee,hash\n"
    rows += "2026-01-01 10:00:00,,in,,RLUSD,100,,,\n"
    rows += "2026-01-02 10:00:00,,trade,buy,XRP,10,15,0.01,\n" * 2
    cli.write("mine.csv", rows)
    mapping = str(cli.folder / cli.write("mine.yaml", MAPPING))
    path = str(cli.folder / "mine.csv")
    unzoned = run(cli, "csv", path, "--mapping", mapping, code=1)
    assert "zone" in unzoned["quarantined"][0]["reason"]
    found = run(cli, "csv", path, "--mapping", mapping, "--zone", "UTC")
    assert found["added"] == {"deposit": 1, "fill": 2}
    assert counted(run(cli, "csv", path, "--mapping", mapping, "--zone", "UTC")) == (0, 3)


def test_learning_proposes_a_mapping_that_reads_the_file(cli: Cli) -> None:
    rows = "Date,Pair,Side,Price,Amount,Total,Fee,Fee Coin\n"
    rows += "2026-01-02T10:00:00Z,XRP/RLUSD,BUY,1.5,10,15,0.01,RLUSD\n"
    path = str(cli.folder / cli.write("venue.csv", rows))
    learnt = cli.here("import", "csv", "--learn", path)
    assert learnt.code == 0, learnt.err
    mapping = str(cli.folder / cli.write("learnt.yaml", learnt.out))
    assert run(cli, "csv", path, "--mapping", mapping)["added"] == {"fill": 1}


def test_candles_become_marks_at_their_close(cli: Cli) -> None:
    rows = "time,open,high,low,close\n"
    rows += "".join(
        f"2026-01-02T{hour:02}:{minute:02}:00Z,1,2,1,1.{hour}{minute}\n" for hour in (10, 11) for minute in (0, 30)
    )
    path = str(cli.folder / cli.write("candles.csv", rows))
    assert run(cli, "candles", path, "--asset", "XRP")["added"] == {"mark": 4}
    marks = cli.here("register", "--type", "mark", "-O", "json").json["rows"]
    assert marks[0]["at"] == "2026-01-02T10:30:00.000000Z"


def test_a_stream_lands_object_by_object_and_goes_on_past_what_waits(cli: Cli, tmp_path: Path) -> None:
    lines = [json.dumps(entry) for entry in (TRADES[0], WAITING[1], TRADES[1])]
    with cli.start("import", "ccxt", "-", "--batch", "1") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number, line in enumerate(lines, 1):
            child.stdin.write(f"{line}\n".encode())
            child.stdin.flush()
            assert child.stdout.readline().decode().startswith(f"{number} row")
        child.stdin.close()
        assert child.wait(GIVE_UP_S) == 1  # a movement waits
    assert balances(cli)["XRP"] == "20"
    assert cli.run("import", "ccxt", "-", "--batch", "10", stdin="\n".join(lines).encode()).code == 1


def test_a_stream_says_what_it_quarantines_and_goes_on(cli: Cli) -> None:
    """As `watchMyTrades` gives them, a list a line."""
    lines = [json.dumps([TRADES[0]]), "a line of a log", json.dumps([WAITING[1]]), json.dumps([TRADES[1], {"odd": 1}])]
    ran = cli.run("import", "ccxt", "-", "--batch", "1", stdin="\n".join(lines).encode())
    assert (ran.code, balances(cli)["XRP"]) == (1, "20")
    notes = [line for line in ran.err.splitlines() if line.startswith("note: quarantined: -, line ")]
    assert [note.split(", ")[1] for note in notes] == ["line 2", "line 4"]
    assert ran.lines[-1] == "3 rows, 2 added, 0 existed, 2 quarantined; version 3; 1 movement in the inbox"
    assert balances(cli)["XRP"] == "20"


def test_half_a_surrogate_pair_in_a_stream_is_quarantined_and_the_rest_lands(cli: Cli) -> None:
    deposit = movement("deposit", 7, "2026-01-02T10:00:00.000Z", "RLUSD", "5", txid="x")
    bad = json.dumps(deposit).replace('"x"', '"\\ud800"')
    given = "\n".join([bad, json.dumps(TRADES[0])]).encode()
    assert cli.run("import", "ccxt", "-", "--batch", "5", stdin=given).code == 1
    assert balances(cli)["XRP"] == "10"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch", "1", "a.json"], "stdin"),
        (["ccxt", "a.json", "--alias", "RLUSD"], "NAME=ASSET"),
        (["candles", "a.csv", "--every", "0h"], "more than 0"),
        (["ccxt", "a.json", "--ledger", "total"], "legacy-db"),
        (["csv", "--learn", "a.csv", "b.csv"], "one CSV file"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(cli: Cli, arguments: list[str], said: str) -> None:
    assert_refused(cli.here("import", *arguments), 2, "usage", said)


@pytest.mark.both_engines
def test_the_inbox_is_the_same_on_both_engines_and_a_batch_that_fails_leaves_none_of_it(cli: Cli) -> None:
    path = write(cli, "a.json", WAITING)
    run(cli, "ccxt", path, code=1)
    assert cli.here("inbox", "resolve", "1", "--price", "XRP=1.4").code == 0
    assert cli.here("inbox", "resolve", "2", "--price", "XRP=1.5").code == 0
    run(cli, "ccxt", path)
    assert balances(cli) == {"RLUSD": "49.98", "XRP": "25"}
    assert cli.here("check").code == 0


HASH = "AB" * 32


def test_two_venues_of_one_book_and_two_books_of_a_ledger(cli: Cli) -> None:
    """Internal: no capital; transfer: the capital and its basis move."""
    assert cli.here("inject", "100", "--at", "2025-12-31T00:00:00Z", "--key", "k").code == 0
    out = movement("withdrawal", 1, "2026-01-01T10:00:00Z", "RLUSD", "40", txid=HASH)
    into = movement("deposit", 2, "2026-01-01T11:00:00Z", "RLUSD", "39.5", txid=HASH)
    assert run(cli, "ccxt", write(cli, "out.json", [out]), write(cli, "in.json", [into]), code=1)["internal"] == 0
    shown = cli.here("inbox", "-O", "json").json["entries"]
    assert [entry["cause"] for entry in shown] == ["classification_required", "other_side", "held"]
    assert shown[0]["other_sides"] == ["the deposit that waits in main as entry 2"]
    assert_refused(cli.here("inbox", "resolve", "1", "--other", "2"), 2, "usage", "--as internal")
    assert_refused(cli.here("inbox", "resolve", "1", "--as", "internal", "--other", "x:"), 2, "usage", "BOOK:ID")
    assert_refused(cli.here("inbox", "resolve", "1", "--as", "transfer"), 1, "inbox_answer_mismatch", "--other")
    done = cli.here("inbox", "resolve", "1", "--as", "internal")
    assert done.out == (
        "entry 1 and the deposit that waits in main as entry 2 moved between two accounts of main, no capital, "
        "with a fee of 0.5 RLUSD\n"
    )
    assert balances(cli) == {"RLUSD": "99.5"}
    run(cli, "ccxt", str(cli.folder / "out.json"), str(cli.folder / "in.json"))
    assert cli.here("inbox").out == "nothing waits\n"

    bot = ("--db", cli.location, "--book", "bot")
    assert cli.here("init", target=bot).code == 0
    there = write(cli, "there.json", [into | {"id": "m9", "txid": "CD" * 32}])
    assert cli.here("import", "ccxt", there, target=bot).code == 0
    run(cli, "ccxt", write(cli, "more.json", [out | {"id": "m8", "txid": "CD" * 32}]), code=1)
    done = cli.here("inbox", "resolve", "4", "--as", "transfer", "-O", "json")
    assert (done.json["sent"], done.json["received"], done.json["reversed"]) == ("main:4", "bot:4", 3)
    assert cli.here("check").code == 0


def test_a_copy_has_the_inbox_too(cli: Cli) -> None:
    path = write(cli, "a.json", WAITING)
    run(cli, "ccxt", path, code=1)
    there = ("--db", str(cli.folder / "copy.db"), "--book", "main")
    assert cli.here("db", "upgrade", target=there[:2]).code == 0
    assert cli.here("copy", "--to", there[1], target=("--db", cli.location)).code == 0
    assert cli.here("inbox", "-O", "json", target=there).json == cli.here("inbox", "-O", "json").json
