"""`inbox`: what waits for a person, and what became of it; and the line about it that other reports show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from engine import inbox
from engine.importers.sides import proposed_sides, sides_of
from engine.inbox import Entry, Waiting
from engine.reports.report import Report, Table, counted
from ledger import store
from ledger.book import Book
from ledger.database.connections import Database

COLUMNS = (
    "id",
    "sort",
    "status",
    "at",
    "type",
    "asset",
    "amount",
    "tx_hash",
    "cause",
    "detail",
    "kind",
    "file",
    "place",
    "key",
    "version",
    "reason",
    "actor",
)
_SHOWN = ("id", "status", "at", "type", "asset", "amount", "cause", "file", "place")


def inbox_report(database: Database, name: str, *, all_of_them: bool = False) -> Report:
    """The entries of a book's inbox that wait, or all of them. Raises Refused `book_unknown`; StorageError."""
    with database.reading() as connection:
        store.require_book(connection, name)
        sorts: tuple[inbox.Sort, ...] = ("movement", "held", "proposal")
        found = inbox.entries(
            connection, name, sorts=(*sorts, "same") if all_of_them else sorts, all_of_them=all_of_them
        )
        open_ones = [entry for entry in found if entry.is_open]
        sides = {entry.id: list(_other_sides(connection, name, entry)) for entry in open_ones}
        proposed = {entry.id: list(_proposed_sides(connection, entry)) for entry in open_ones}
    table = Table(COLUMNS, [_cells(entry, COLUMNS) for entry in found])
    body: list[Table | str] = []
    if found:
        body.append(Table(_SHOWN, [_cells(entry, _SHOWN) for entry in found]))
        body += list(_details(found))
        body += [f"{number}: the other side of its transaction is {side}" for number in sides for side in sides[number]]
        body += [f"{number}: its other side may be {side}" for number in proposed for side in proposed[number]]
    else:
        body.append("nothing waits")
    entries = [
        {**row, "other_sides": sides.get(row["id"], []), "proposed_sides": proposed.get(row["id"], [])}
        for row in table.as_dicts()
    ]
    return Report({"book": name, "entries": entries}, body, table)


def _other_sides(connection: Connection, book: str, entry: Entry) -> Iterator[str]:
    """Where the opposite movement of the same transaction stands or waits, in any book of the ledger."""
    if entry.sort == "movement" and entry.asset is not None:
        names = store.book_names(connection)
        yield from map(str, sides_of(connection, names, entry.type, entry.tx_hash, entry.asset))


def _proposed_sides(connection: Connection, entry: Entry) -> Iterator[str]:
    """What may be the other side: of the same amount and near in time."""
    if entry.sort == "movement":
        yield from map(str, proposed_sides(connection, store.book_names(connection), entry))


def waiting_in(database: Database, books: Iterable[Book]) -> Waiting:
    """How much waits in the inboxes of these books."""
    with database.reading() as connection:
        found = [inbox.waiting(connection, book.name) for book in books]
    return Waiting(*(sum(getattr(each, part) for each in found) for part in ("movements", "held", "proposals")))


def waiting_document(found: Waiting) -> dict[str, int]:
    """How much waits, for programs."""
    return {"movements": found.movements, "held": found.held, "proposals": found.proposals}


def waiting_lines(found: Waiting) -> Iterator[str]:
    """A line that says how much waits; none when nothing does."""
    parts = [
        counted(found.movements, "movement") if found.movements else "",
        f"{counted(found.held, 'row')} held back" if found.held else "",
        counted(found.proposals, "proposal") if found.proposals else "",
    ]
    if any(parts):
        yield f"waiting in the inbox: {', '.join(part for part in parts if part)} (netbasis inbox)"


def _cells(entry: Entry, columns: tuple[str, ...]) -> list[object]:
    return [getattr(entry, name) for name in columns]


def _details(found: list[Entry]) -> Iterator[str]:
    for entry in found:
        if entry.is_open:
            yield f"{entry.id}: {entry.detail}"
