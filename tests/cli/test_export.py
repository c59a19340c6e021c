"""`export ndjson` and `append --file`, as commands: what one writes the other takes."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli_support import Cli, Ran, assert_refused, deposit, ndjson
from tests.support import SMALLEST

LATER = datetime(2062, 1, 1, tzinfo=UTC)


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """A book with a mistake, its correction and a decided withdrawal; and the empty book `copy` on the same terms."""
    cli.append(
        deposit("d1", "100", at="2026-01-05T09:00:00Z"),
        {"type": "fill", **SMALLEST["fill"], "key": "f1", "at": "2026-01-05T09:01:00Z"},
        {"type": "reversal", "reverses_key": "f1", "key": "r1"},
        {"type": "fill", **SMALLEST["fill"], "corrects_key": "f1", "key": "f1#2", "quote_amount": "13.4"},
    )
    for words in ("append mark --asset XRP --price 1.5 --key m1", "withdraw 10 --key w1", "--book copy init"):
        ran = cli.here(*words.split(), target=("--db", cli.location) + (() if "copy" in words else ("--book", "main")))
        assert ran.code == 0, ran.err
    return cli


def exported(cli: Cli, *filters: str) -> str:
    ran = cli.here("export", "ndjson", *filters)
    assert ran.code == 0, ran.err
    return ran.out


def append_to(cli: Cli, book: str, content: str | bytes, *more: str) -> Ran:
    path = str(cli.folder / cli.write("file.ndjson", content))
    return cli.here("append", "--file", path, *more, target=("--db", cli.location, "--book", book))


@pytest.mark.both_engines
def test_a_round_trip_gives_the_same_figures_and_the_log_is_sound(desk: Cli) -> None:
    content = exported(desk)
    ran = append_to(desk, "copy", content)
    assert (ran.code, ran.out.split(";")[0]) == (0, "appended 6, 1 existed")
    for command in ("balance", "pnl"):
        first, second = (
            desk.here(command, "-O", "json", target=("--db", desk.location, "--book", book)).json
            for book in ("main", "copy")
        )
        assert {**second, "book": "main"} == first
    assert desk.here("check", target=("--db", desk.location)).code == 0
    again = append_to(desk, "main", content)
    assert again.out.split(";")[0] == "appended 0, 7 existed"
    # A stream in batches takes it as well.
    assert desk.here("init", target=("--db", desk.location, "--book", "third")).code == 0
    assert append_to(desk, "third", content, "--batch", "2").code == 0


@pytest.mark.parametrize(("term", "value"), [("numeraire", "EUR"), ("mode", "paper"), ("base_asset", "BTC")])
def test_the_terms_of_the_opening_must_be_the_books_and_its_time_need_not(desk: Cli, term: str, value: str) -> None:
    opening = {**json.loads(exported(desk).splitlines()[0]), "at": "1999-01-01T00:00:00Z", "source_note": "elsewhere"}
    assert append_to(desk, "copy", ndjson([opening])).code == 0
    del opening["key"]  # the opening of a book is known without it
    assert append_to(desk, "copy", ndjson([opening])).code == 0
    ran = append_to(desk, "copy", ndjson([{**opening, term: value}, deposit("x")]))
    assert_refused(ran, 3, f"exists_with_different_{term}", "the terms of a book never change")
    assert_refused(append_to(desk, "copy", ndjson([{**opening, "book": "main"}])), 1, "book_differs")


def test_a_mark_of_the_future_that_the_file_reverses_is_taken_and_another_is_not(cli: Cli) -> None:
    wrong: Mapping[str, object] = {"type": "mark", **SMALLEST["mark"], "key": "wrong", "at": "2061-01-01T00:00:00Z"}
    right: Mapping[str, object] = {"type": "mark", **SMALLEST["mark"], "key": "wrong#2", "corrects_key": "wrong"}
    reversal: Mapping[str, object] = {"type": "reversal", "key": "r", "reverses_key": "wrong"}
    for ahead in ([wrong], [wrong, {**right, "at": "2061-01-01T00:00:00Z"}], [{**wrong, "key": "w"}, wrong, reversal]):
        assert_refused(append_to(cli, "main", ndjson(ahead)), 1, "at_in_future")
    # The clock was wrong once: what it said is in the log, and has been taken back.
    assert (
        cli.here(
            "append",
            "mark",
            "--asset",
            "XRP",
            "--price",
            "9",
            "--key",
            "wrong",
            "--at",
            "2061-01-01T00:00:00Z",
            now=LATER,
        ).code
        == 0
    )
    assert cli.here("reverse", "2", "--key", "r", now=LATER).code == 0
    assert (
        cli.here("append", "mark", "--asset", "XRP", "--price", "9", "--corrects", "2", now=LATER + timedelta(1)).code
        == 0
    )
    lines = exported(cli).splitlines()
    assert ["at" in json.loads(line) for line in lines] == [True, True, False, False]
    for number, batch in enumerate(((), ("--batch", "9"), ("--rejects", str(cli.folder / "bad")))):
        assert cli.here("init", target=("--db", cli.location, "--book", f"b{number}")).code == 0
        ran = append_to(cli, f"b{number}", exported(cli), *batch)
        assert (ran.code, ran.err) == (0, "")


def test_a_bad_name_in_a_file_is_refused_with_its_line_and_nothing_is_written(desk: Cli) -> None:
    before = desk.unchanged()
    content = ndjson([deposit("new"), {"type": "reversal", "key": "r9", "reverses_key": "later"}, deposit("later")])
    ran = append_to(desk, "main", content)
    assert_refused(ran, 1, "key_unknown", "line 2", "'later'")
    assert desk.unchanged() == before
    rejects = desk.folder / "bad.ndjson"
    ran = append_to(desk, "main", content, "--rejects", str(rejects))
    assert ran.code == 1
    assert json.loads(rejects.read_text())["field"] == "reverses_key"


def test_what_the_filters_leave_out_is_said(desk: Cli) -> None:
    ran = desk.here("export", "ndjson", "--type", "deposit")
    assert [json.loads(line)["key"] for line in ran.out.splitlines()] == ["opened", "d1"]
    assert ran.err == "note: the filters leave out 5 events, 1 of them the reversal of another one\n"
    ran = desk.here("export", "ndjson", "--type", "withdrawal")
    assert "without evidence, since earlier events are left out: 1 withdrawal" in ran.err
    assert desk.here("export", "ndjson").err == ""
    assert desk.here("export", "ndjson", "--type", "nothing").code == 2
    assert_refused(desk.here("export", "ndjson", "--as-of", "99"), 1, "version_unknown")
    assert len(exported(desk, "--as-of", "3").splitlines()) == 3
    assert len(exported(desk, "--known-at", "2001-01-01").splitlines()) == 1  # the opening is always there


def test_a_transfer_is_a_plain_movement_since_its_other_side_is_in_another_book(desk: Cli) -> None:
    ran = desk.here("transfer", "20", "--to", "copy", "--key", "t1")
    assert ran.code == 0, ran.err
    ran = desk.here("export", "ndjson")
    assert "1 side of a transfer is written as a plain deposit or withdrawal" in ran.err
    assert desk.here("init", target=("--db", desk.location, "--book", "third")).code == 0
    assert append_to(desk, "third", ran.out).code == 0
    ours, theirs = (
        desk.here("pnl", "-O", "json", target=("--db", desk.location, "--book", book)).json
        for book in ("main", "third")
    )
    for figure in ("total_value", "net_deposits", "net_basis", "starting_value", "total_pnl", "retained_profit"):
        assert theirs[figure] == ours[figure]
    assert append_to(desk, "main", ran.out).out.startswith("appended 0,")


def test_a_file_takes_the_place_of_another_when_it_is_whole(desk: Cli, tmp_path: Path) -> None:
    file = tmp_path / "out.ndjson"
    file.write_text("before")
    assert_refused(desk.here("export", "ndjson", "--as-of", "99", "-o", str(file)), 1, "version_unknown")
    assert file.read_text() == "before"
    ran = desk.here("export", "ndjson", "-o", str(file))
    assert (ran.out, file.read_text()) == ("", exported(desk))
    ran = desk.here("export", "ndjson", "-o", str(tmp_path / "no" / "such" / "folder"))
    assert_refused(ran, 2, "usage", "/folder' cannot be written: No such file or directory;")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_minus_is_stdout_and_no_file(desk: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert desk.here("export", "ndjson", "-o", "-").out == exported(desk)
    assert_refused(desk.here("export", "parquet", "-o", "-"), 2, "usage", "cannot be written to stdout")
    assert not (tmp_path / "-").exists()


def test_a_table_for_a_spreadsheet_and_one_for_analytic_programs(desk: Cli, tmp_path: Path) -> None:
    ran = desk.here("export", "csv", "--type", "fill")
    assert ran.code == 0, ran.err
    assert ran.err == "note: the filters leave out 3 events\n"
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [(row["version"], row["asset_delta"], row["reversed_by"]) for row in rows] == [
        ("1", "", ""),
        ("3", "10", "4"),
        ("4", "-10", ""),
        ("5", "10", ""),
    ]
    file = tmp_path / "events.parquet"
    ran = desk.here("export", "parquet", "-o", str(file), "--to", "2026-01")
    assert (ran.code, ran.out) == (0, "")
    assert [row["version"] for row in pq.read_table(file).to_pylist()] == [1, 2, 3, 4, 5]
    assert_refused(desk.here("export", "parquet"), 2, "usage", "--output-file")


def test_without_pyarrow_a_parquet_file_is_refused_and_the_one_that_is_there_stays(
    desk: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "events.parquet"
    file.write_text("before")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = desk.here("export", "parquet", "-o", str(file))
    assert_refused(ran, 2, "usage", "pip install 'netbasis[columns]'")
    assert file.read_text() == "before"
    assert list(tmp_path.glob(".*")) == []


def test_the_columns_that_tax_tools_take(desk: Cli) -> None:
    ran = desk.here("export", "koinly")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].startswith("Date,Sent Amount,Sent Currency,Received Amount")
    received = [(row["Received Amount"], row["Sent Amount"]) for row in csv.DictReader(io.StringIO(ran.out))]
    assert received == [("100", ""), ("10", "13.4"), ("", "10")]


def test_journals_with_lots_and_without(desk: Cli) -> None:
    for program, lot, whole, gains in (
        ("hledger", "assets:main:XRP:5  10 XRP @@ 13.4 RLUSD", "assets:main:XRP  10 XRP @@ 13.4 RLUSD", "type: G"),
        (
            "beancount",
            '10 XRP {1.34 RLUSD, 2026-01-05, "5"}',
            "Assets:Main:XRP  10 XRP @@ 13.4 RLUSD",
            "Equity:Capital",
        ),
    ):
        ran = desk.here("export", program)
        assert (ran.code, ran.err) == (0, "")
        assert lot in ran.out
        assert gains in ran.out
        for words in (("--no-lots",), ("--method", "average")):
            assert whole in desk.here("export", program, *words).out
        assert desk.here("export", program, "--method", "best").code == 2
    assert "type: G" not in desk.here("export", "hledger", "--gains-type", "R").out
