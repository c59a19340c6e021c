"""`netbasis summary`: what it shows, that it ties to `register`, `balance` and `pnl`, and its pictures."""

from __future__ import annotations

import csv
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from engine.reports.profit import FIGURES
from ledger.amounts import amount_text, total
from tests.cli_support import Cli, Ran, assert_refused, deposit
from tests.engine.paper.paper_support import open_paper, run_all, strategy, wandering, write_tape
from tests.support import BOOK, event

CONFIG = "strategy: {base_size_rlusd: 15.0, max_rlusd_exposure: 120, anchor_max_divergence_bps: 10.0}\n"


@pytest.fixture
def desk(empty_cli: Cli) -> Cli:
    """A paper book with two sessions, capital between them, and a network fee."""
    empty_cli.db.write_bytes(_sessions())
    empty_cli.write("c.yaml", CONFIG)
    return empty_cli


@cache
def _sessions() -> bytes:
    with TemporaryDirectory() as made:
        folder = Path(made)
        with open_paper(folder) as keeper:
            run_all(keeper, write_tape(folder, wandering(400, seed=1)), strategy(maker_fee_bps="2"), session="one")
            keeper.append(BOOK, event("deposit", asset="RLUSD", amount="50", key="in"))
            keeper.append(BOOK, event("adjustment", asset="XRP", amount="-0.000012", reason="network_fee"))
            run_all(keeper, write_tape(folder, wandering(400, seed=2), "b.csv"), session="two")
        return (folder / "ledger.db").read_bytes()


def document(cli: Cli, *arguments: str) -> Any:
    """What a command prints as JSON, in this process."""
    ran = cli.here(*arguments, "-O", "json")
    assert ran.code == 0, ran.err
    return ran.json


@pytest.mark.parametrize("session", ["one", "two", None])
def test_the_figures_are_those_of_the_other_commands(session: str | None, desk: Cli) -> None:
    """To the last digit: fills from `register`, inventory from `balance`, everything else from `pnl`."""
    of_session = ("--session", session) if session else ()
    found = document(desk, "summary", *of_session)
    rows = document(desk, "register", "--type", "fill", *of_session)["rows"]
    assert found["fills"] == len({row["version"] for row in rows}) > 20
    by_side: dict[tuple[str, str], list[Decimal]] = {}
    for row in rows:
        delta = Decimal(row["delta"])
        by_side.setdefault((row["asset"], "+" if delta > 0 else "-"), []).append(delta)
    volumes = {volume["side"]: volume for volume in found["volume"]}
    assert volumes["buy"]["base_amount"] == amount_text(total(by_side["XRP", "+"]))
    assert volumes["sell"]["base_amount"] == amount_text(total(by_side["XRP", "-"]).copy_negate())
    assert found["inventory"] == document(desk, "balance")["balances"]
    pnl = document(desk, "pnl")
    assert {name: found[name] for name in FIGURES} == {name: pnl[name] for name in FIGURES}
    assert (found["first_at"], found["last_at"]) == (min(row["at"] for row in rows), max(row["at"] for row in rows))


def test_the_fees_of_a_session_are_its_own_and_of_the_book_all(desk: Cli) -> None:
    one, two, both = (
        {fee["asset"]: fee["amount"] for fee in document(desk, "summary", *more)["fees"]}
        for more in (("--session", "one"), ("--session", "two"), ())
    )
    assert Decimal(one["RLUSD"]) > 0
    assert two == {"RLUSD": "0"}
    assert both == one | {"XRP": "0.000012"}, "a network fee of no session is the book's"
    assert both == {fee["asset"]: fee["amount"] for fee in document(desk, "pnl")["fees"]}


def test_a_strategys_fills_and_those_of_a_session_of_it(desk: Cli) -> None:
    """Fills of a paper session name no strategy; these two do."""
    fill = {"type": "fill", "side": "buy", "base_asset": "XRP", "quote_asset": "RLUSD", "quote_amount": "2.4"}
    for key, session in (("g1", "one"), ("g2", "two")):
        desk.append({**fill, "key": key, "base_amount": "2", "session_id": session, "strategy": "grid"})
    for options, count in (((), 2), (("--session", "one"), 1), (("--session", "three"), 0)):
        found = document(desk, "summary", "--strategy", "grid", *options)
        assert (found["fills"], found["strategy"], found["unknown_fees"]) == (count, "grid", count)
        assert found["inventory"] == document(desk, "balance")["balances"], "the book's, not the strategy's"
    lines = desk.here("summary", "--strategy", "grid", "--session", "one").lines
    assert lines[0] == "session one, strategy grid: 1 fill"
    assert any(line.endswith(", all fills and capital") for line in lines)
    ran = desk.run("summary", "--strategy", "grid", "--plot", "grid.png")
    assert (ran.code, (desk.folder / "grid.png").read_bytes()[:4]) == (0, b"\x89PNG")


def test_for_people(desk: Cli) -> None:
    ran = desk.run("summary", "--session", "two", "--config", "c.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0].startswith("session two: ")
    assert any(line.startswith("the book main (paper) at version ") for line in ran.lines)
    figures = document(desk, "summary", "--session", "two", "--config", str(desk.folder / "c.yaml"))
    for name in ("total_value", "net_basis", "total_pnl", "fills_pnl"):
        assert figures[name].lstrip("-") in ran.out, name
    for holding in figures["inventory"]:
        line = next(line for line in ran.lines if line.startswith(f"{holding['asset']} "))
        assert [Decimal(cell) for cell in line.split()[1:]] == [
            Decimal(holding[part]) for part in ("total", "fills", "capital", "adjustments")
        ]
    assert "gate: engine.paper.exposure.quote_may_stand(balance, size, limit), of the ask" in ran.lines


def test_the_exposure_is_that_of_the_command(desk: Cli) -> None:
    config = str(desk.folder / "c.yaml")
    found = document(desk, "summary", "--config", config)["exposure"]
    traced = document(desk, "exposure", "--config", config)
    assert found == {name: traced[name] for name in found}
    assert document(desk, "summary")["exposure"] is None


def test_what_is_not_known_is_null_and_says_why(cli: Cli) -> None:
    cli.append(deposit("d", "85"), {"type": "deposit", "key": "x", "asset": "XRP", "amount": "1", "price": "1.33"})
    found = document(cli, "summary")
    assert (found["total_value"], found["total_pnl"], found["missing_marks"]) == (None, None, ["XRP"])
    assert (found["fills"], found["first_at"], found["fills_pnl"], found["net_basis"]) == (0, None, "0", "86.33")
    ran = cli.here("summary")
    assert ran.lines[0] == "all fills: 0 fills"
    assert "unknown for want of a mark: XRP" in ran.lines


def test_fees_that_were_not_reported_are_counted(cli: Cli) -> None:
    cli.append(
        {
            "type": "fill",
            "key": "f",
            "side": "buy",
            "base_asset": "XRP",
            "base_amount": "2",
            "quote_asset": "RLUSD",
            "quote_amount": "2.4",
        }
    )
    assert (document(cli, "summary")["unknown_fees"], document(cli, "summary")["fees"]) == (1, [])
    assert "not counted: 1 fee not reported" in cli.here("summary").lines


def test_csv_is_a_figure_a_row_and_says_no_more_and_no_less(desk: Cli) -> None:
    found = document(desk, "summary", "--config", str(desk.folder / "c.yaml"))
    ran = desk.here("summary", "--config", str(desk.folder / "c.yaml"), "-O", "csv")
    rows = {(row["figure"], row["asset"]): row["value"] for row in csv.DictReader(ran.lines)}
    assert rows["net_basis", ""] == found["net_basis"]
    assert rows["inventory_capital", "RLUSD"] == "135"
    assert rows["exposure_threshold", ""] == "105"
    assert rows["fee", "RLUSD"] == found["fees"][0]["amount"]
    assert rows["buy_base_amount", "XRP"] == found["volume"][0]["base_amount"]
    assert len(rows) == len(ran.lines) - 1


def test_ndjson_is_one_row(desk: Cli) -> None:
    ran = desk.here("summary", "-O", "ndjson")
    assert ran.json == document(desk, "summary")


def test_a_summary_writes_nothing(desk: Cli) -> None:
    before = desk.contents()
    desk.run("summary", "--session", "one")
    assert desk.contents() == before


# ---- the picture


def test_a_picture_is_drawn_and_named(desk: Cli) -> None:
    ran = desk.run("summary", "--plot", "one.png")
    assert (ran.code, ran.err, ran.lines[-1]) == (0, "", "drawn: one.png")
    assert (desk.folder / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["one.pdf", "one", "png", ""])
def test_other_formats_are_a_wrong_command_line(name: str, desk: Cli) -> None:
    assert_refused(desk.here("summary", "--plot", name), 2, "usage", ".png or .svg")


def test_a_picture_that_cannot_be_written(desk: Cli) -> None:
    ran = desk.here("summary", "--plot", str(desk.folder / "no" / "one.png"))
    assert_refused(ran, 4, "input_output_failed", "No such file")


def without_matplotlib(desk: Cli, *arguments: str) -> Ran:
    """The command, imported anew in a process where importing matplotlib fails as it does where it was not installed."""
    blocked = desk.folder / "blocked"
    blocked.mkdir()
    (blocked / "matplotlib.py").write_text("raise ModuleNotFoundError('No module', name='matplotlib')\n")
    anew = ("matplotlib", "cli.commands.summary", "engine.reports.plot")
    forget = f"[sys.modules.pop(name) for name in list(sys.modules) if name.startswith({anew})]"
    return desk.run(*arguments, first=f"import sys; sys.path.insert(0, {str(blocked)!r}); {forget}")


def test_the_extra_is_named_when_it_is_absent(desk: Cli) -> None:
    ran = without_matplotlib(desk, "summary", "--plot", "one.png")
    assert_refused(ran, 2, "usage", "the extra plot", "netbasis[plot]")
    assert not (desk.folder / "one.png").exists()


def test_without_a_picture_the_extra_is_not_needed(desk: Cli) -> None:
    assert without_matplotlib(desk, "summary").code == 0
