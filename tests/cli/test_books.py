"""`books`: what each book holds, and the desk's totals, in which a transfer between its books adds up to nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli_support import Cli, assert_refused

FIGURES = ("total_value", "net_deposits", "net_basis", "starting_value", "total_pnl", "retained_profit")


def in_book(cli: Cli, book: str, *words: str) -> None:
    ran = cli.here(*words, target=("--db", cli.location, "--book", book))
    assert ran.code == 0, ran.err


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """Two live books of one numeraire, a paper book, and a live book in another numeraire."""
    for book, *terms in (("bot", "live", "RLUSD"), ("toy", "paper", "RLUSD"), ("eur", "live", "EUR")):
        in_book(cli, book, "init", "--mode", terms[0], "--numeraire", terms[1])
    in_book(cli, "main", "append", "deposit", "--asset", "RLUSD", "--amount", "100", "--key", "d")
    in_book(cli, "main", "append", "deposit", "--asset", "XRP", "--amount", "10", "--price", "1", "--key", "x")
    in_book(cli, "main", "append", "mark", "--asset", "XRP", "--price", "1.5", "--key", "m")
    in_book(cli, "toy", "inject", "1000")
    in_book(cli, "eur", "inject", "7")
    return cli


def totals(cli: Cli) -> dict[tuple[str, str], dict[str, Any]]:
    document = cli.here("books", "-O", "json", target=("--db", cli.location)).json
    return {(total["mode"], total["numeraire"]): total for total in document["desks"]}


def test_the_totals_are_over_one_numeraire_and_mode_and_a_transfer_does_not_move_them(desk: Cli) -> None:
    before = totals(desk)
    assert {place: total["books"] for place, total in before.items()} == {
        ("live", "EUR"): ["eur"],
        ("live", "RLUSD"): ["bot", "main"],
        ("paper", "RLUSD"): ["toy"],
    }
    live = before["live", "RLUSD"]
    assert [live[name] for name in FIGURES] == ["115", "110", "110", "110", "5", "5"]
    assert live["balances"] == [{"asset": "RLUSD", "total": "100"}, {"asset": "XRP", "total": "10"}]

    in_book(desk, "main", "transfer", "50", "--to", "bot", "--key", "t")  # 5 of it are profit
    after = totals(desk)["live", "RLUSD"]
    assert after == live
    books = {
        book["book"]: book for book in desk.here("books", "-O", "json", target=("--db", desk.location)).json["books"]
    }
    assert (books["main"]["transferred_profit"], books["bot"]["transferred_profit"]) == ("5", "-5")
    assert (books["main"]["net_deposits"], books["bot"]["net_deposits"]) == ("60", "50")


def test_one_unknown_makes_the_total_unknown_and_is_named(desk: Cli) -> None:
    in_book(desk, "bot", "append", "deposit", "--asset", "BTC", "--amount", "1", "--price", "9", "--basis-unknown")
    live = totals(desk)["live", "RLUSD"]
    assert (live["total_value"], live["retained_profit"], live["missing_marks"]) == (None, None, ["BTC"])
    assert live["net_deposits"] == "119"
    shown = desk.here("books", target=("--db", desk.location)).out
    assert "unknown for want of a mark: BTC" in shown


def test_the_totals_are_those_of_the_books_as_one_valued_by_the_newest_mark_of_any(desk: Cli) -> None:
    in_book(desk, "bot", "append", "deposit", "--asset", "XRP", "--amount", "2", "--price", "1", "--key", "x")
    live = totals(desk)["live", "RLUSD"]
    as_one = desk.here("pnl", "-O", "json", target=("--db", desk.location, "--book", "main", "--book", "bot")).json
    assert {name: live[name] for name in FIGURES} == {name: as_one[name] for name in FIGURES}
    assert (live["total_value"], live["missing_marks"]) == ("118", [])


def test_people_see_each_book_on_a_line(desk: Cli) -> None:
    lines = desk.here("books", target=("--db", desk.location)).lines
    main = next(line for line in lines if line.startswith("main "))
    for part in ("live", "RLUSD", "mark of ", "100.00 RLUSD, 10.00 XRP"):
        assert part in main
    assert "the desk, live, in RLUSD (bot, main):" in lines


def test_the_other_formats(desk: Cli) -> None:
    target = ("--db", desk.location)
    assert [line.split(",")[0] for line in desk.here("books", "-O", "csv", target=target).lines] == [
        "book",
        "bot",
        "eur",
        "main",
        "toy",
    ]
    assert len(desk.here("books", "-O", "ndjson", target=target).lines) == 4


def test_a_ledger_without_books(empty_cli: Cli) -> None:
    assert_refused(empty_cli.here("books", target=("--db", empty_cli.location)), 4, "database_missing")
    assert empty_cli.here("db", "upgrade", target=("--db", empty_cli.location)).code == 0
    ran = empty_cli.here("books", "-O", "json", target=("--db", empty_cli.location))
    assert ran.json == {"books": [], "desks": []}
    assert "no book yet" in empty_cli.here("books", target=("--db", empty_cli.location)).out
