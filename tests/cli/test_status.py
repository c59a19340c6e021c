"""`status`: what a desk watches; its exposition is read back by a strict reader, and the dashboard shows all of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.reports.prometheus import LastCheck, exposition, seconds_text
from engine.reports.status import read_status
from tests.cli_support import Cli, assert_refused
from tests.support import BOOK, ROOT, SMALLEST, event

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=90)
DASHBOARD = ROOT / "examples" / "grafana-dashboard.json"

# The text format, https://prometheus.io/docs/instrumenting/exposition_formats/, as far as gauges with labels need it.
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"(?P<name>{_NAME})\{{(?P<labels>{_LABEL}(?:,{_LABEL})*)\}} (?P<figure>-?[0-9]+(?:\.[0-9]+)?)")
Samples = dict[str, dict[tuple[tuple[str, str], ...], Decimal]]


def read_exposition(text: str) -> Samples:
    """The samples by metric and labels. Each metric stands in one block: help, type, samples."""
    found: Samples = {}
    assert text.endswith("\n")
    lines = iter(text.splitlines())
    current = ""
    for line in lines:
        if line.startswith("# HELP "):
            current, _, told = line.removeprefix("# HELP ").partition(" ")
            assert told
            assert current not in found
            assert next(lines) == f"# TYPE {current} gauge"
            found[current] = {}
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        assert match["name"] == current
        pairs = re.findall(r'([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"', match["labels"])
        labels = tuple((name, re.sub(r"\\.", _unescaped, content)) for name, content in pairs)
        assert labels not in found[current]
        found[current][labels] = Decimal(match["figure"])
    return found


def _unescaped(match: re.Match[str]) -> str:
    return {r"\\": "\\", r"\"": '"', r"\n": "\n"}[match[0]]


@pytest.fixture
def desk(empty_cli: Cli) -> Cli:
    """The book main with a sale of more than there was and an unknown fee, and the book `b"\\` without a mark."""
    cli = empty_cli
    for words in (
        "init",
        "append deposit --asset RLUSD --amount 100 --key d",
        "append fill --side sell --base-amount 10 --quote-amount 13.3 --key f",
        "append mark --asset XRP --price 1.5 --key m --at 2026-03-02T11:59:00Z",
    ):
        assert cli.here(*words.split(), now=NOW).code == 0
    other = ("--db", cli.location, "--book", 'b"\\')
    assert cli.here("init", "--numeraire", "EUR", target=other, now=NOW).code == 0
    words = "append deposit --asset BTC --amount 1 --price 9 --key d"
    assert cli.here(*words.split(), target=other, now=NOW).code == 0
    return cli


def test_the_figures_for_programs(desk: Cli) -> None:
    ran = desk.here("status", "-O", "json", now=SOON)
    (book,) = ran.json["books"]
    assert (book["book"], book["version"], book["newest_type"]) == ("main", 4, "mark")
    assert (book["event_age_seconds"], book["mark_age_seconds"]) == (90 * 60, 91 * 60)
    assert (book["negative_balances"], book["unknown_fees"], book["missing_marks"]) == (["XRP"], 1, [])
    assert (book["total_value"], book["total_pnl"]) == ("98.3", "-1.7")
    pnl = desk.here("pnl", "-O", "json", now=SOON).json
    assert {name: book[name] for name in book.keys() & pnl.keys() - {"marks"}} == {
        name: pnl[name] for name in book.keys() & pnl.keys() - {"marks"}
    }


def test_without_a_book_all_are_shown(desk: Cli) -> None:
    everything = desk.here("status", "-O", "json", target=("--db", desk.location)).json
    assert [book["book"] for book in everything["books"]] == ['b"\\', "main"]
    assert len(desk.here("status", "-O", "csv", target=("--db", desk.location)).lines) == 3
    assert_refused(desk.here("status", target=("--db", desk.location, "--book", "no")), 1, "book_unknown")


def test_people_see_what_is_wrong_and_what_waits(desk: Cli) -> None:
    movement = {
        "id": "1",
        "timestamp": 1772352000000,
        "type": "deposit",
        "currency": "ETH",
        "amount": "1",
        "status": "ok",
    }
    path = desk.folder / desk.write("m.json", json.dumps([movement]))
    assert desk.here("import", "ccxt", str(path)).code in (0, 1)
    text = desk.here("status", now=SOON).out
    for part in ("newest event: mark, 90 minutes old", "negative: XRP", "not counted: 1 fee not reported"):
        assert part in text
    assert "waiting in the inbox: 1 movement" in text
    assert desk.here("status", "-O", "json").json["books"][0]["inbox"]["movements"] == 1
    assert (
        "unknown for want of a mark: BTC" in desk.here("status", target=("--db", desk.location, "--book", 'b"\\')).out
    )


def test_the_exposition_says_what_the_figures_are_and_nothing_of_what_is_unknown(desk: Cli) -> None:
    ran = desk.here("status", "-O", "prometheus", target=("--db", desk.location), now=SOON)
    found = read_exposition(ran.out)
    documents = {
        book["book"]: book
        for book in desk.here("status", "-O", "json", target=("--db", desk.location), now=SOON).json["books"]
    }
    names = {"netbasis_equity": "total_value"}
    for figure in ("net_deposits", "net_basis", "starting_value", "total_pnl", "retained_profit", "withdrawn_profit"):
        names[f"netbasis_{figure}"] = figure
    for metric, figure in names.items():
        shown = {dict(labels)["book"]: number for labels, number in found[metric].items()}
        known = {book: Decimal(each[figure]) for book, each in documents.items() if each[figure] is not None}
        assert shown == known
    assert documents['b"\\']["total_value"] is None
    of_main = {
        metric: {labels: n for labels, n in samples.items() if ("book", "main") in labels}
        for metric, samples in found.items()
    }
    assert list(of_main["netbasis_head_version"].values()) == [4]
    assert list(of_main["netbasis_head_hash_prefix"].values()) == [int(documents["main"]["head"][:12], 16)]
    assert list(of_main["netbasis_newest_event_age_seconds"].values()) == [5400]
    assert list(of_main["netbasis_mark_age_seconds"].values()) == [5460]
    assert of_main["netbasis_balance"][(("book", "main"), ("asset", "XRP"))] == -10
    assert list(of_main["netbasis_negative_balances"].values()) == [1]
    assert list(of_main["netbasis_unknown_fees"].values()) == [1]


def test_a_file_for_the_node_exporter_is_written_whole(desk: Cli, tmp_path: Path) -> None:
    file = tmp_path / "netbasis.prom"
    assert desk.here("status", "-O", "prometheus", "-o", str(file), now=SOON).out == ""
    assert file.read_text() == desk.here("status", "-O", "prometheus", now=SOON).out
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".prom"] == ["netbasis.prom"]
    assert desk.here("status", "-o", str(file)).code == 2


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0.000000"),
        (timedelta(microseconds=-1), "-0.000001"),
        (timedelta(days=20_000, microseconds=1), "1728000000.000001"),
        (-timedelta(seconds=90, microseconds=500_000), "-90.500000"),
    ],
)
def test_a_span_is_exact(span: timedelta, text: str) -> None:
    assert seconds_text(span) == text


def test_the_dashboard_shows_every_metric_and_no_other(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("mark", **SMALLEST["mark"]))
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"]))
    checked = {BOOK: LastCheck(NOW, 0)}
    text = "\n".join(exposition(read_status(keeper.database, None, NOW), NOW, checked)) + "\n"
    found = read_exposition(text)
    assert [name for name, samples in found.items() if not samples] == []
    assert list(found["netbasis_last_check_ok"].values()) == [1]
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert {name for query in asked for name in re.findall(r"netbasis_\w+", query)} == found.keys()
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [(x, y) for panel in panels for x, y in _cells(panel["gridPos"])]
    assert len(cells) == len(set(cells)), "panels overlap"


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]
