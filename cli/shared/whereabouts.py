"""`netbasis` alone: where one is, which ledger and book that names, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cli.shared.options import Target
from cli.shared.output import print_lines, shown, text_table
from engine.reports.report import Table
from ledger.database.connections import without_password
from ledger.errors import StorageError, StorageFault

if TYPE_CHECKING:
    from engine.reports.books import BookNow

_SQLITE = b"SQLite format 3\0"
_FILES = 5
_TO_BEGIN = (("demo", "the story of one desk, in a temporary ledger"), ("--db live.db init", "make a ledger"))
_HELP = ("--help", "every command")


def say_whereabouts(named: Target, db_from: str | None, book_from: str | None) -> None:
    """Print it. `db_from`, `book_from`: where the names come from, such as `--db`; None where netbasis.toml may have them.

    Raises StorageError for a ledger that cannot be opened, after saying which one it is.
    """
    folder = Path.cwd()
    print_lines([shown(f"netbasis {version('netbasis')} in {folder}")])
    place = None if named.settings_file is None else str(named.settings_file)
    location = named.location_or_none
    if location is None:
        print_lines(_without_a_ledger(folder, place))
        return
    print_lines([shown(f"ledger: {without_password(location)} (from {db_from or place})")])
    prefix = _prefix(named, location, db_from, book_from)
    try:
        found = _books(named)
    except StorageError as error:
        if error.fault is not StorageFault.DATABASE_MISSING:
            raise
        print_lines(["it does not exist yet", *_next([(f"{prefix}init", "make it, and open a book"), _HELP])])
        return
    if not found:
        print_lines(["it has no book yet", *_next([(f"{prefix}init", "open one"), _HELP])])
        return
    print_lines(_with_books(named, found, prefix))


def _books(named: Target) -> list[BookNow]:
    from engine.reports.books import books_now

    with named.open("read") as keeper:
        return books_now(keeper.database, named.now)


def _without_a_ledger(folder: Path, place: str | None) -> Iterator[str]:
    yield "no ledger is named: neither by --db, nor by NETBASIS_DB, nor by netbasis.toml here or above"
    if place is not None:
        yield shown(f'{place} has no line db = "…"')
    there = [(f"--db {shlex.quote(file.name)} books", "a SQLite file of this folder") for file in _files_in(folder)]
    yield from _next([*there, *_TO_BEGIN, _HELP])


def _files_in(folder: Path) -> Iterator[Path]:
    """SQLite files of a folder; at most a few."""
    found = 0
    for path in sorted(folder.glob("*.db")):
        try:
            with path.open("rb") as opened:
                is_sqlite = opened.read(len(_SQLITE)) == _SQLITE
        except OSError:
            continue
        if is_sqlite and found < _FILES:
            found += 1
            yield path


def _prefix(named: Target, location: str, db_from: str | None, book_from: str | None) -> str:
    """The global options that a next command needs, as they were given on this command line."""
    options = ["--db", without_password(location)] if db_from == "--db" else []
    options += ["--book", named.book] if book_from == "--book" and named.book is not None else []
    return "".join(f"{shlex.quote(option)} " for option in options)


def _with_books(named: Target, found: Sequence[BookNow], prefix: str) -> Iterator[str]:
    names = [each.view.book.name for each in found]
    rows = [
        (each.view.book.name, each.view.book.mode, each.view.book.numeraire, each.view.head.version, each.newest.at)
        for each in found
    ]
    yield from text_table(Table(("book", "mode", "numeraire", "version", "newest event"), rows))
    chosen = named.book if named.book is not None else names[0] if len(names) == 1 else None
    book = next((each for each in found if each.view.book.name == chosen), None)
    if chosen is None:
        yield 'no book is chosen: give --book NAME, set NETBASIS_BOOK, or write book = "…" into netbasis.toml'
        some = shlex.quote(names[0])
        yield from _next([(f"{prefix}books", "what each holds"), (f"{prefix}--book {some} pnl", "one of them"), _HELP])
        return
    if book is None:
        yield shown(f"book: {chosen}, which the ledger does not have")
        yield from _next([(f"{prefix}init", "open it"), _HELP])
        return
    yield shown(f"book: {chosen}")
    yield from _next([(f"{prefix}{words}", what) for words, what in _to_do(book)])


def _to_do(book: BookNow) -> Iterator[tuple[str, str]]:
    """What to do with a book, what is urgent first."""
    if book.view.head.version == 1:
        yield "inject AMOUNT", "put the first capital in"
        yield "import FILE", "take what a venue or a bot exports"
    to_decide = book.waiting.movements + book.waiting.proposals
    if to_decide:
        yield "inbox", f"{to_decide} {'waits' if to_decide == 1 else 'wait'} for a decision"
    for asset in book.pnl.missing_marks[:1]:
        yield f"append mark --asset {shlex.quote(asset)} --price PRICE", "without it the value is unknown"
    yield "pnl", "what it is worth, and what is profit"
    yield "register", "every posting"
    yield "check", "prove the log"
    yield _HELP


def _next(commands: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "next:"
    width = max(len(words) for words, _ in commands)
    for words, what in commands:
        yield shown(f"  netbasis {words.ljust(width)}   {what}")
