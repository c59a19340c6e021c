"""`netbasis` alone: where one is, which ledger and book that names, and what to do next."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from cli.main import run
from tests.cli_support import Cli
from tests.support import SMALLEST


@pytest.fixture
def here(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(cli.folder)
    for name in [name for name in os.environ if name.startswith("NETBASIS_")]:
        monkeypatch.delenv(name)
    return cli


def alone(cli: Cli, *options: str) -> str:
    ran = cli.here(*options, target=())
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def advised(text: str) -> list[list[str]]:
    """The commands below `next:`, as words."""
    lines = text.split("next:\n")[1].splitlines()
    return [shlex.split(line.strip().split("   ")[0])[1:] for line in lines]


def test_no_ledger_is_named(here: Cli) -> None:
    (here.folder / "notes.db").write_text("not a ledger")
    text = alone(here)
    assert "no ledger is named" in text
    assert advised(text)[0] == ["--db", "ledger.db", "books"]
    assert ["demo"] in advised(text)
    assert not any("notes.db" in words for words in advised(text))


def test_a_ledger_that_is_not_there_is_to_be_made_as_advised(here: Cli) -> None:
    text = alone(here, "--db", "a b.db")
    assert "it does not exist yet" in text
    assert not Path("a b.db").exists()
    assert run(advised(text)[0]) == 0
    assert Path("a b.db").exists()


@pytest.mark.parametrize("source", ["--db", "NETBASIS_DB", "netbasis.toml"])
def test_it_says_where_the_name_comes_from(here: Cli, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: tuple[str, ...] = ()
    if source == "--db":
        options = ("--db", "ledger.db")
    elif source == "NETBASIS_DB":
        monkeypatch.setenv(source, "ledger.db")
    else:
        here.write(source, 'db = "ledger.db"')
    text = alone(here, *options)
    assert f"{source})" in text.splitlines()[1]
    assert "book: main" in text
    # What is advised works as it stands.
    assert ["inject", "AMOUNT"] in [words[-2:] for words in advised(text)]
    check = next(words for words in advised(text) if words[-1] == "check")
    assert check == [*options, "check"]
    assert run(check) == 0


def test_what_is_urgent_comes_first(here: Cli) -> None:
    here.append({"type": "deposit", **SMALLEST["deposit"], "asset": "XRP", "price": "1", "key": "d"})
    first = advised(alone(here, "--db", "ledger.db"))[0]
    assert first == ["--db", "ledger.db", "append", "mark", "--asset", "XRP", "--price", "PRICE"]
    here.write(
        "m.json", '[{"id":"1","timestamp":1772352000000,"type":"deposit","currency":"BTC","amount":"1","status":"ok"}]'
    )
    assert run(["--db", "ledger.db", "import", "ccxt", "m.json"]) in (0, 1)
    assert advised(alone(here, "--db", "ledger.db"))[0] == ["--db", "ledger.db", "inbox"]


def test_several_books_and_one_that_is_not_there(here: Cli) -> None:
    assert run(["--db", "ledger.db", "--book", "a b", "init"]) == 0
    text = alone(here, "--db", "ledger.db")
    assert "no book is chosen" in text
    assert run(next(words for words in advised(text) if words[-1] == "pnl")) == 0
    assert "book: a b" in alone(here, "--db", "ledger.db", "--book", "a b")
    text = alone(here, "--db", "ledger.db", "--book", "c")
    assert "which the ledger does not have" in text
    assert advised(text)[0] == ["--db", "ledger.db", "--book", "c", "init"]


def test_a_ledger_that_cannot_be_opened_is_named_before_the_error(here: Cli) -> None:
    here.write("bad.db", b"SQLite format 3\0 and then nothing of the kind")
    ran = here.here("--db", "bad.db", target=())
    assert ran.code == 4
    assert "ledger: bad.db (from --db)" in ran.out
    assert ran.err.startswith("error[")


def test_a_password_is_not_shown(here: Cli) -> None:
    ran = here.here("--db", "postgresql+psycopg://me:secret@localhost:1/none", target=())
    assert "secret" not in ran.out + ran.err
