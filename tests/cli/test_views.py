"""`balance`, `pnl`, `audit basis`, `rebuild`, `head`: figures worked out by hand, in the shapes of the specification."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.cli_support import Cli, assert_refused, clean_environment, without_stream
from tests.script_server import GIVE_UP_S

# Balances before the withdrawal: XRP 39.27 + 10 − 5 − 0.01 = 44.26; RLUSD 85 − 13.30 + 6.70 + 50 = 128.40. At the mark
# of 1.34 the equity is 128.40 + 59.3084 = 187.7084 against a basis of 137.284078 + 50: the profit is 0.424322 of 20.
EVIDENCE = {
    "equity_before": "187.7084",
    "basis_before": "187.284078",
    "profit": "0.424322",
    "principal": "19.575678",
    "marks": [{"asset": "XRP", "price": "1.34", "source": "venue", "at": "2026-01-05T12:00:00Z"}],
    "policy": "profit_first/1",
}
FILL = {"type": "fill", "base_asset": "XRP", "quote_asset": "RLUSD"}
STORY: list[dict[str, Any]] = [
    {"type": "deposit", "key": "d1", "asset": "XRP", "amount": "39.27", "price": "1.3314", "basis_unknown": True},
    {"type": "deposit", "key": "d2", "asset": "RLUSD", "amount": "85.00", "basis_unknown": True},
    {**FILL, "key": "f1", "side": "buy", "base_amount": "10", "quote_amount": "13.30"}
    | {"fee_asset": "XRP", "fee_amount": "0.01"},
    {**FILL, "key": "f2", "side": "sell", "base_amount": "5", "quote_amount": "6.70"},
    {"type": "basis_commit", "key": "synthetic_initial_basis", "basis_delta": "137.284078", "actor": "owner"},
    {"type": "deposit", "key": "d3", "asset": "RLUSD", "amount": "50", "tx_hash": "AB12", "source_note": "injection"},
    {"type": "mark", "key": "m1", "asset": "XRP", "price": "1.34", "price_source": "venue"},
    {"type": "withdrawal", "key": "w1", "asset": "RLUSD", "amount": "20", "basis_delta": "-19.575678"}
    | {"evidence": EVIDENCE},
    {"type": "adjustment", "key": "a1", "asset": "XRP", "amount": "-0.000012", "reason": "network_fee"},
    {"type": "deposit", "key": "d4", "asset": "RLUSD", "amount": "7"},
    {"type": "reversal", "key": "r1", "reverses": 11},
]
AT = "2026-01-05T12:00:00.000000Z"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A ledger with the story in it; the tests only read it."""
    cli = Cli(tmp_path_factory.mktemp("story"))
    cli.append(*({"at": AT} | event for event in STORY))
    return cli


def cells(line: str) -> list[str]:
    """The cells of a line of an aligned table."""
    return re.split(r"\s{2,}", line.strip())


BALANCES = [
    {"asset": "RLUSD", "total": "108.4", "fills": "-6.6", "capital": "115", "adjustments": "0"},
    {"asset": "XRP", "total": "44.259988", "fills": "4.99", "capital": "39.27", "adjustments": "-0.000012"},
]


NOTHING_WAITS = {"movements": 0, "held": 0, "proposals": 0}


def test_balance_as_json(story: Cli) -> None:
    ran = story.run("balance", "-O", "json")
    assert (ran.code, ran.err) == (0, "")
    figures = {"book": "main", "version": 12, "unknown_fees": 1, "balances": BALANCES, "inbox": NOTHING_WAITS}
    assert ran.json == figures
    assert list(ran.json) == list(figures)
    assert list(ran.json["balances"][0]) == ["asset", "total", "fills", "capital", "adjustments"]


def test_balance_as_text(story: Cli) -> None:
    ran = story.run("bal")
    assert (ran.code, ran.err) == (0, "")
    assert [cells(line) for line in ran.lines[:3]] == [
        ["asset", "total", "fills", "capital", "adjustments"],
        ["RLUSD", "108.40", "-6.60", "115.00", "0.00"],
        ["XRP", "44.259988", "4.99", "39.27", "-0.000012"],
    ]
    assert ran.lines[3:] == ["not counted: 1 fee not reported"]
    # Numbers are aligned to the right, under the right end of their name.
    assert {len(line.rstrip()) for line in ran.lines[:3]} == {len(ran.lines[0])}


def test_balance_as_csv_and_ndjson(story: Cli) -> None:
    rows = list(csv.DictReader(story.here("balance", "-O", "csv").lines))
    assert rows == BALANCES
    assert [json.loads(line) for line in story.here("balance", "-O", "ndjson").lines] == BALANCES


def test_balance_of_a_book_without_events(cli: Cli) -> None:
    assert cli.here("balance", "-O", "json").json["balances"] == []
    assert len(cli.here("balance").lines) == 1


PNL = {
    "total_value": "167.70838392",
    "net_deposits": "167.284078",
    "net_basis": "167.7084",
    "starting_value": "167.284078",
    "total_pnl": "0.42430592",
    "trading_value": "0.42430592",
    "retained_profit": "-0.00001608",
    "withdrawn_profit": "0.424322",
}


def test_pnl_as_json(story: Cli) -> None:
    ran = story.run("pnl", "-O", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "book": "main",
        "version": 12,
        "numeraire": "RLUSD",
        **PNL,
        "transferred_profit": "0",
        "inbox": NOTHING_WAITS,
        "unknown_fees": 1,
        "missing_marks": [],
        "fees": [{"asset": "XRP", "amount": "0.010012"}],
        "marks": [{"asset": "XRP", "price": "1.34", "source": "venue", "at": AT}],
    }
    after = ["unknown_fees", "missing_marks", "fees", "marks", "inbox"]
    assert list(ran.json) == ["book", "version", "numeraire", *PNL, "transferred_profit", *after]


def test_pnl_as_text(story: Cli) -> None:
    ran = story.run("pnl")
    assert (ran.code, ran.err, ran.lines[0]) == (0, "", "in RLUSD")
    figures = dict(cells(line) for line in ran.lines[1:9])
    assert figures == {name.replace("_", " "): figure for name, figure in PNL.items()}
    assert len({line.index(".") for line in ran.lines[1:9]}) == 1, "the points stand under each other"
    assert ran.lines[9:11] == ["not counted: 1 fee not reported", "fees paid: 0.010012 XRP"]
    assert re.fullmatch(r"mark: XRP 1\.34 \(venue, .*\)", ran.lines[11])


def test_pnl_at_a_price_of_the_command_line(story: Cli) -> None:
    """44.259988 XRP at 2 are 88.519976; the price counts now and is not stored."""
    figures = story.run("pnl", "--price", "XRP=2", "-O", "json").json
    assert (figures["total_value"], figures["total_pnl"]) == ("196.919976", "29.635898")
    assert figures["marks"][0] | {"at": None} == {"asset": "XRP", "price": "2", "source": "command line", "at": None}
    assert story.here("pnl", "-O", "json").json["total_value"] == PNL["total_value"]


def test_pnl_without_a_mark_is_unknown_and_names_it(cli: Cli) -> None:
    cli.append(STORY[0])
    figures = cli.here("pnl", "-O", "json").json
    unknown = [name for name in PNL if figures[name] is None]
    assert unknown == ["total_value", "total_pnl", "trading_value", "retained_profit"]
    assert (figures["missing_marks"], figures["net_deposits"]) == (["XRP"], "52.284078")
    lines = cli.here("pnl").lines
    assert cells(lines[1]) == ["total value", "unknown"]
    assert any("XRP" in line and "--price XRP=" in line for line in lines)


def test_retained_profit_is_unknown_while_a_basis_is(cli: Cli) -> None:
    cli.append(STORY[1])
    ran = cli.here("pnl", "-O", "json")
    assert (ran.json["total_value"], ran.json["retained_profit"]) == ("85", None)
    assert any("retained profit is unknown" in line for line in cli.here("pnl").lines)


@pytest.mark.parametrize(
    ("price", "code", "error"),
    [
        ("XRP", 2, "usage"),
        ("=1", 1, "text_empty"),
        ("XRP=", 1, "amount_malformed"),
        ("XRP=-1", 1, "price_must_not_be_negative"),
        ("XRP=1,34", 1, "amount_malformed"),
        ("XRP=1e400", 1, "amount_out_of_range"),
        ("RLUSD=1", 1, "asset_must_not_be_numeraire"),
        ("X RP=1", 1, "asset_has_blank"),
    ],
)
def test_a_price_that_is_none_is_refused(price: str, code: int, error: str, story: Cli) -> None:
    assert_refused(story.here("pnl", "--price", price), code, error)


AUDIT_COLUMNS = [
    "version",
    "at",
    "type",
    "asset",
    "amount",
    "price",
    "equity_before",
    "basis_before",
    "profit",
    "principal",
    "basis_delta",
    "basis_after",
    "actor",
    "source_note",
    "tx_hash",
    "event_id",
    "hash",
    # Beyond the specification's shape, and after it: what ties an event and its reversal together.
    "reverses",
    "reversed_by",
]


def test_audit_basis_as_json(story: Cli) -> None:
    ran = story.run("audit", "basis", "-O", "json")
    assert (ran.code, ran.err, list(ran.json)) == (0, "", ["book", "version", "net_basis", "rows"])
    assert (ran.json["book"], ran.json["version"], ran.json["net_basis"]) == ("main", 12, "167.7084")
    rows = ran.json["rows"]
    assert [list(row) for row in rows] == [AUDIT_COLUMNS] * 7
    figures = ("version", "type", "asset", "amount", "price", "basis_delta", "basis_after")
    assert [tuple(row[name] for name in figures) for row in rows] == [
        (2, "deposit", "XRP", "39.27", "1.3314", None, "0"),
        (3, "deposit", "RLUSD", "85", None, None, "0"),
        (6, "basis_commit", "RLUSD", "137.284078", None, "137.284078", "137.284078"),
        (7, "deposit", "RLUSD", "50", None, "50", "187.284078"),
        (9, "withdrawal", "RLUSD", "20", None, "-19.575678", "167.7084"),
        (11, "deposit", "RLUSD", "7", None, "7", "174.7084"),
        (12, "reversal", "RLUSD", "-7", None, "-7", "167.7084"),
    ]
    evidence = ("equity_before", "basis_before", "profit", "principal")
    assert [tuple(row[name] for name in evidence) for row in rows] == [
        tuple(EVIDENCE[name] if row["version"] == 9 else None for name in evidence) for row in rows
    ]
    assert [row["at"] for row in rows] == [AT] * 7
    tied = [(row["version"], row["reverses"], row["reversed_by"]) for row in rows if row["version"] > 9]
    assert tied == [(11, None, 12), (12, 11, None)]
    assert (rows[2]["actor"], rows[3]["tx_hash"], rows[3]["source_note"]) == ("owner", "AB12", "injection")
    assert all(re.fullmatch("[0-9a-f]{64}", row["hash"]) for row in rows)
    assert len({row["event_id"] for row in rows}) == 7


def test_audit_basis_as_text(story: Cli) -> None:
    ran = story.run("audit", "basis")
    rows = story.here("audit", "basis", "-O", "json").json["rows"]
    assert (ran.code, ran.err, cells(ran.lines[0])) == (0, "", AUDIT_COLUMNS)
    assert [cells(line)[:3] for line in ran.lines[1:-1]] == [
        [str(row["version"]), "2026-01-05T12:00:00Z", row["type"]] for row in rows
    ]
    withdrawal = ["RLUSD", "20.00", "-", "187.7084", "187.284078", "0.424322", "19.575678", "-19.575678", "167.7084"]
    assert cells(ran.lines[5])[3:12] == withdrawal
    assert cells(ran.lines[1])[10] == "unknown"
    assert ran.lines[-1] == "net basis: 167.7084 RLUSD"


def test_head_as_text_and_json(story: Cli) -> None:
    ran = story.run("head", "-O", "json")
    assert list(ran.json) == ["book", "version", "hash"]
    assert (ran.code, ran.json["book"], ran.json["version"]) == (0, "main", 12)
    assert story.run("head").lines == [f"12:{ran.json['hash']}"]


def test_rebuild_of_what_is_right_changes_nothing(story: Cli) -> None:
    before = story.contents()
    ran = story.run("rebuild", "-O", "json")
    assert (ran.code, list(ran.json)) == (0, ["book", "version", "events", "changed", "seconds"])
    assert (ran.json["book"], ran.json["version"], ran.json["events"], ran.json["changed"]) == ("main", 12, 12, [])
    assert re.fullmatch(r"\d+\.\d+", ran.json["seconds"]), "text, as all decimals are"
    assert story.here("rebuild").lines == ["12 events folded, 0 figures changed"]
    dry = story.run("rebuild", "--dry-run")
    assert (dry.code, dry.lines) == (0, ["12 events folded, 0 figures would change"])
    assert story.contents() == before


READING = [
    ("balance",),
    ("pnl",),
    ("audit", "basis"),
    ("check",),
    ("head",),
    ("rebuild", "--dry-run"),
    ("db", "current"),
    ("db", "history"),
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_writes_nothing(command: tuple[str, ...], story: Cli) -> None:
    before = story.unchanged()
    assert story.here(*command).code == 0
    assert story.unchanged() == before


def on_a_terminal(cli: Cli, *arguments: str, columns: int) -> str:
    """What a command prints on a terminal of that width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = clean_environment(cli.folder, {"TERM": "xterm"})
    with cli.start(*arguments, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment) as child:
        os.close(follower)
        printed = b""
        try:
            while arrived := os.read(leader, 65536):
                printed += arrived
        except OSError:
            pass  # how Linux says that the other end was closed
        assert child.wait(GIVE_UP_S) == 0
    os.close(leader)
    return printed.decode()


def test_a_narrow_terminal_cuts_no_number_and_only_a_terminal_gets_colour(story: Cli) -> None:
    piped = story.run("audit", "basis").out
    shown = on_a_terminal(story, "audit", "basis", columns=40)
    assert "\x1b[" not in piped
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for number in re.findall(r"-?\d+\.\d+", piped):
        assert number in plain


def test_what_a_text_says_steers_no_terminal(cli: Cli) -> None:
    """Control characters are refused on the way in; one that changes the direction of writing is shown as an escape."""
    cli.append({"type": "deposit", "key": "d", "asset": "RLUSD", "amount": "1", "source_note": "a\u202eb"})
    assert "a\\u202eb" in cli.here("audit", "basis").out
    assert cli.here("audit", "basis", "-O", "json").json["rows"][0]["source_note"] == "a\u202eb"


@pytest.mark.parametrize("command", [("audit", "basis"), ("head",), ("--help",)], ids=" ".join)
def test_a_reader_that_went_away_is_no_error(command: tuple[str, ...], story: Cli) -> None:
    """As with `| head -1`: nobody reads any more, and nothing is said about it."""
    reading, writing = os.pipe()
    with story.start(*command, stdout=writing) as child:
        os.close(writing)
        os.close(reading)
        _, err = child.communicate()
    assert (child.returncode, err) == (0, b"")


def test_an_answer_that_nobody_wants_is_no_error(story: Cli) -> None:
    for name in ("stdout", "stderr"):
        assert story.run("balance", first=without_stream(name)).code == 0


def test_an_answer_that_cannot_be_written_is_an_error(story: Cli) -> None:
    with Path("/dev/full").open("wb") as full, story.start("balance", stdout=full) as child:
        _, err = child.communicate()
    assert (child.returncode, err.decode().startswith("error[input_output_failed]: ")) == (4, True)
