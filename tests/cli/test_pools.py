"""Several books looked at as one: `--all-books`, and --book given more than once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.cli.test_cost_basis import FILL, STORY, at
from tests.cli_support import LEDGER, Cli, assert_refused, deposit

ALL = ("--all-books",)
COMMANDS = (
    ("balance",),
    ("pnl",),
    ("pnl", "--lots"),
    ("pnl", "--from", "2026-02", "--to", "2026-02"),
    ("lots",),
    ("gains",),
    ("gains", "--group-by", "asset"),
    ("income",),
    ("returns", "--to", "2026-02-06T13:00:00Z"),
)


def of(cli: Cli, *books: str) -> tuple[str, ...]:
    return "--db", cli.location, *(word for book in books for word in ("--book", book))


def json_of(cli: Cli, *arguments: str, books: tuple[str, ...] = ()) -> Any:
    ran = cli.here(*arguments, "-O", "json", target=of(cli, *books))
    assert ran.code == 0, ran.err
    return ran.json


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """The story of `test_cost_basis` in the book main; a second book has 4 XRP of main, which cost 1.00, and sold one."""
    cli.db.write_bytes(_two_books())
    return cli


@cache
def _two_books() -> bytes:
    with TemporaryDirectory() as folder:
        cli = Cli(Path(folder))
        _fill(cli)
        return cli.db.read_bytes()


def _fill(cli: Cli) -> None:
    cli.append(*STORY)
    assert cli.here("init", target=of(cli, "bot")).code == 0
    moved = cli.here("transfer", "4", "--asset", "XRP", "--to", "bot", "--key", "T", "--price", "XRP=4")
    assert moved.code == 0, moved.err
    cli.book = "bot"
    sale = {**FILL, "side": "sell", "base_amount": "1", "quote_amount": "5", "key": "s", "fee_amount": "0"}
    cli.append(sale, {"type": "mark", "asset": "XRP", "price": "4", "key": "m"})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("output", ["text", "json", "csv"])
def test_a_pool_of_one_book_is_that_book(cli: Cli, command: tuple[str, ...], output: str) -> None:
    cli.append(*STORY)
    of_the_book, of_all = (
        cli.here(*command, *more, "-O", output, target=of(cli, *books)) for more, books in (((), ("main",)), (ALL, ()))
    )
    assert (of_all.code, of_all.out) == (0, of_the_book.out)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_all_books_are_those_that_are_named(desk: Cli, command: tuple[str, ...]) -> None:
    named = json_of(desk, *command, books=("bot", "main", "bot"))
    assert named == json_of(desk, *command, *ALL)
    assert (named["book"], [each["book"] for each in named["books"]]) == (None, ["bot", "main"])


def test_a_transfer_is_a_sale_in_a_books_own_view_and_nothing_in_the_pool(desk: Cli) -> None:
    """Main had 4 at 1.00, 10 at 2.00 and 1 at 2.50; the 4 went to the bot at 4.00, which sold one of them for 5.00."""

    def lots(*books: str) -> list[tuple[str, str, str]]:
        found = json_of(desk, "lots", books=books) if books else json_of(desk, "lots", *ALL)
        return [(lot["quantity"], lot["cost"], lot["book"]) for lot in found["lots"]]

    assert lots("main") == [("10", "20", "main"), ("1", "2.5", "main")]
    assert lots("bot") == [("3", "12", "bot")]
    assert lots() == [("3", "3", "main"), ("10", "20", "main"), ("1", "2.5", "main")]
    gains = [json_of(desk, "gains", books=books)["gain"] for books in (("main",), ("bot",), ("main", "bot"))]
    assert gains == ["22", "1", "14"]
    assert json_of(desk, "gains", *ALL)["gains"][-1]["closed_book"] == "bot"
    for books in (("main",), ("bot",), ("main", "bot")):
        assert json_of(desk, "pnl", "--lots", books=books)["identity"] == "holds"
    pooled = json_of(desk, "pnl", *ALL)
    assert (pooled["net_deposits"], pooled["total_pnl"], pooled["transferred_profit"]) == ("100", "46", "0")
    assert json_of(desk, "returns", *ALL, "--max-mark-age", "9999d")["flows"] == "100"


def test_people_are_told_which_books_they_see(desk: Cli) -> None:
    for command in ("balance", "pnl", "lots", "gains", "income", "returns"):
        assert "the books bot, main" in desk.here(command, *ALL, target=of(desk)).out, command
    assert "closed_book" in desk.here("gains", *ALL, target=of(desk)).out
    assert "closed_book" not in desk.here("gains").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--book", "main", "--book", "bot", "register"), "one book"),
        (("--book", "main", "--book", "bot", "append", "mark", "--asset", "XRP", "--price", "1"), "one book"),
        (("--book", "main", "gains", "--all-books"), "leave out --book"),
        (("lots", "--all-books", "--as-of", "3"), "a version is of one book"),
        (("pnl", "--all-books", "--as-of", "3"), "a version is of one book"),
    ],
)
def test_what_is_about_one_book_does_not_take_several(desk: Cli, words: tuple[str, ...], said: str) -> None:
    assert_refused(desk.run(*words, target=("--db", desk.location)), 2, "usage", said)


def test_the_environment_and_the_file_name_one_book_which_all_books_pass_over(desk: Cli) -> None:
    environment = {"NETBASIS_BOOK": "bot", "NETBASIS_DB": LEDGER}
    assert '"book":"bot"' in desk.run("lots", "-O", "json", env=environment, target=()).out
    assert desk.run("lots", *ALL, "-O", "json", env=environment, target=()).json["book"] is None
    desk.write("netbasis.toml", 'book = "bot"\n')
    assert desk.run("lots", "-O", "json").json["book"] == "bot"
    assert desk.run("lots", *ALL, "-O", "json").json["book"] is None


def test_no_shorts_holds_for_the_pool_and_names_the_book(desk: Cli) -> None:
    """The bot sells 5 XRP more than it has, which main has."""
    desk.book = "bot"
    desk.append({**FILL, "key": "more", "side": "sell", "base_amount": "8", "quote_amount": "40"})
    assert desk.here("lots", "--no-shorts").code == 1
    assert desk.here("lots", *ALL, "--no-shorts", target=of(desk)).code == 0
    desk.append({**FILL, "key": "most", "side": "sell", "base_amount": "80", "quote_amount": "40"})
    assert_refused(desk.here("lots", *ALL, "--no-shorts", target=of(desk)), 1, "short_lot", "the book 'bot'")


def test_a_mark_that_is_missing_is_asked_for_in_its_book(desk: Cli) -> None:
    desk.book = "bot"
    desk.append({"type": "adjustment", "key": "o", "asset": "SOLO", "amount": "3", "reason": "opening", **at("02-01")})
    assert "version 5 of the book bot" in desk.here("lots", *ALL, target=of(desk)).err


def test_a_book_that_is_not_there_is_refused_as_ever(cli: Cli) -> None:
    cli.append(deposit("k"))
    assert_refused(cli.here("pnl", target=of(cli, "main", "none")), 1, "book_unknown", "'none'")
