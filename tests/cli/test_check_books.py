"""`check` of a ledger with several books: all of them, each finding with its book, in every form of output."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from ledger.events import Opened
from tests.cli_support import Cli, Ran, assert_refused
from tests.engines import intruding
from tests.support import event

OBJECT = ["book", "version", "head", "ok", "findings", "notes"]
FINDING = ["invariant", "version", "expected", "actual", "difference", "detail"]
BOOKS = ("main", "Ünï 💶", "zz")  # with 2, 3 and 4 events


@pytest.fixture
def cli(cli: Cli) -> Cli:
    """Three books: `main` with one deposit, then one with two and one with three."""
    with Bookkeeper.open(cli.location) as keeper:
        for count, book in enumerate(BOOKS, 1):
            if book != "main":
                keeper.open_book(book, Opened.model_validate({"mode": "live"}))
            keeper.append_all(book, [event("deposit", asset="RLUSD", amount="2", key=f"{n}") for n in range(count)])
    return cli


def checked(cli: Cli, *arguments: str, book: str | None = None) -> Ran:
    """`check`, of one book or of all."""
    return cli.here("check", *arguments, target=("--db", cli.location, *(("--book", book) if book else ())))


def tamper(cli: Cli, statement: str, *values: object) -> None:
    """Change the ledger behind the program's back."""
    with intruding(cli.location) as raw:
        raw.execute(statement, values)


def change_event(cli: Cli, book: str, version: int) -> None:
    """Make a stored amount another one."""
    tamper(cli, "UPDATE events SET asset_delta = '1000' WHERE book = ? AND version = ?", book, version)


def head(cli: Cli, book: str) -> str:
    """The hash of the newest event of a book."""
    digest = cli.here("head", "-O", "json", target=("--db", cli.location, "--book", book)).json["hash"]
    assert isinstance(digest, str)
    return digest


def table(ran: Ran) -> list[dict[str, str]]:
    """The rows of CSV."""
    return list(csv.DictReader(io.StringIO(ran.out)))


def test_a_sound_ledger_is_silent_and_every_book_was_checked(cli: Cli) -> None:
    assert checked(cli) == Ran(0, "", "")
    ran = checked(cli, "-O", "json")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.json, key=lambda document: str(document["book"])) == sorted(
        (
            {"book": book, "version": version, "head": head(cli, book), "ok": True, "findings": [], "notes": []}
            for version, book in zip((2, 3, 4), BOOKS, strict=True)
        ),
        key=lambda document: str(document["book"]),
    )
    assert all(list(document) == OBJECT for document in ran.json)
    ran = checked(cli, "-O", "csv")
    assert (ran.code, ran.lines) == (0, [",".join(["book", *FINDING])])
    assert checked(cli, "-O", "ndjson") == Ran(0, "", "")


def test_what_was_changed_in_one_book_is_told_of_that_book_alone(cli: Cli) -> None:
    broken = "Ünï 💶"
    change_event(cli, broken, 2)
    ran = checked(cli)
    assert (ran.code, ran.err, len(ran.lines)) == (1, "", 1)
    assert ran.out.startswith(f"{broken}: chain at version 2: "), ran.out
    document = checked(cli, "-O", "json")
    assert document.code == 1
    assert {one["book"]: (one["ok"], len(one["findings"])) for one in document.json} == {
        book: (book != broken, int(book == broken)) for book in BOOKS
    }
    (finding,) = next(one["findings"] for one in document.json if one["book"] == broken)
    assert list(finding) == FINDING
    (row,) = table(checked(cli, "-O", "csv"))
    assert list(row) == ["book", *FINDING]
    assert (row["book"], row["invariant"], row["version"], row["actual"]) == (broken, "chain", "2", "1000")
    (line,) = checked(cli, "-O", "ndjson").lines
    assert json.loads(line) == {"book": broken, **finding}


def test_a_book_that_is_named_is_checked_alone_and_is_an_object(cli: Cli) -> None:
    change_event(cli, "zz", 3)
    assert checked(cli, book="main") == Ran(0, "", "")
    document = checked(cli, "-O", "json", book="main").json
    assert (list(document), document["book"], document["ok"]) == (OBJECT, "main", True)
    ran = checked(cli, book="zz")
    assert (ran.code, ran.out.startswith("chain at version 3: ")) == (1, True)  # it was named: not once more
    document = checked(cli, "-O", "json", book="zz").json
    assert (document["book"], document["ok"], len(document["findings"])) == ("zz", False, 1)
    (row,) = table(checked(cli, "-O", "csv", book="zz"))
    assert list(row) == FINDING
    assert_refused(checked(cli, book="nobody"), 1, "book_unknown", "nobody")


def test_findings_of_several_books_are_told_book_by_book(cli: Cli) -> None:
    """In the order of the JSON list; without `--book` the invariants that are named are those of all books."""
    for book in BOOKS:
        change_event(cli, book, 2)
    tamper(cli, "UPDATE basis SET net_basis = '77' WHERE book = 'zz'")
    order = [document["book"] for document in checked(cli, "-O", "json").json]
    expected = [f"{book}: chain at version 2" for book in order]
    expected.insert(order.index("zz") + 1, "zz: projections_match at version 4")
    assert [": ".join(line.split(": ")[:2]) for line in checked(cli).lines] == expected
    rows = table(checked(cli, "-O", "csv"))
    assert [f"{row['book']}: {row['invariant']} at version {row['version']}" for row in rows] == expected
    only = checked(cli, "--only", "projections_match")
    assert [line.split(": ")[:2] for line in only.lines] == [["zz", "projections_match at version 4"]]


def test_notes_name_their_book(cli: Cli) -> None:
    given = {"type": "adjustment", "key": "x", "asset": "XRP", "amount": "-2.5", "reason": "fee"}
    cli.append(given)
    note = "the balance of XRP is negative: -2.5"
    assert checked(cli) == Ran(0, "", f"note: main: {note}\n")
    assert checked(cli, book="main") == Ran(0, "", f"note: {note}\n")
    notes = {document["book"]: document["notes"] for document in checked(cli, "-O", "json").json}
    assert notes == {book: [note] if book == "main" else [] for book in BOOKS}


def test_what_is_of_the_ledger_is_told_once_to_people_and_with_each_book_to_programs(cli: Cli) -> None:
    """The schema is that of all books; an orphan's rows are nobody's."""
    tamper(cli, "UPDATE events SET book = 'ghost' WHERE book = 'zz'")
    tamper(cli, "DELETE FROM books WHERE book = 'zz'")
    ran = checked(cli)
    assert ran.code == 1
    assert [line.split(", ")[0] for line in ran.lines if "ghost" in line] == [
        "chain at version 1: 4 events belong to the book 'ghost'"
    ]
    documents: list[Any] = checked(cli, "-O", "json").json
    assert len(documents) == 2
    for document in documents:
        assert not document["ok"]
        assert any("ghost" in str(finding) for finding in document["findings"])
    rows = table(checked(cli, "-O", "csv"))
    assert [row["book"] for row in rows if row["invariant"] == "chain"] == [""]
    # A book that is named alone does not stand on a better ledger.
    assert checked(cli, book="main").code == 1


def test_a_head_is_that_of_one_book(cli: Cli) -> None:
    """Of all books it cannot be asked, since nobody knows whose it is: the command says which there are."""
    kept = f"3:{head(cli, 'Ünï 💶')}"
    before = cli.unchanged()
    assert_refused(checked(cli, "--expect-head", kept), 2, "usage", "--book", *BOOKS)
    assert cli.unchanged() == before
    assert checked(cli, "--expect-head", kept, book="Ünï 💶") == Ran(0, "", "")
    ran = checked(cli, "--expect-head", kept, book="zz")
    assert (ran.code, ran.out.startswith("chain at version 3: the head that was kept elsewhere")) == (1, True)


def test_of_one_book_the_head_needs_no_name(cli: Cli) -> None:
    tamper(cli, "DELETE FROM events WHERE book <> 'main'")
    for projection in ("inventory", "basis", "engine_state", "projection_heads", "marks", "fees"):
        tamper(cli, f"DELETE FROM {projection} WHERE book <> 'main'")
    tamper(cli, "DELETE FROM books WHERE book <> 'main'")
    assert checked(cli, "--expect-head", head(cli, "main")) == Ran(0, "", "")
    document = checked(cli, "-O", "json").json
    assert (list(document), document["book"]) == (OBJECT, "main")  # no list of one
