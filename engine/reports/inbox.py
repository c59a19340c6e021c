"""`inbox`: what waits for a person, and what became of it; and the line about it that other reports show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from engine import inbox
from engine.inbox import MOVEMENTS, Entry, Waiting
from engine.reports.report import Report, Table, counted
from ledger import store
from ledger.book import Book
from ledger.database.connections import Database
from ledger.texts import normal_tx_hash

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
_OPPOSITE = {"deposit": "withdrawal", "withdrawal": "deposit"}
_SHOWN = ("id", "status", "at", "type", "asset", "amount", "cause", "file", "place")


def inbox_report(database: Database, name: str, *, all_of_them: bool = False) -> Report:
    """The entries of a book's inbox that wait, or all of them. Raises Refused `book_unknown`; StorageError."""
    with database.reading() as connection:
        store.require_book(connection, name)
        sorts: tuple[inbox.Sort, ...] = ("movement", "held", "proposal")
        found = inbox.entries(
            connection, name, sorts=(*sorts, "same") if all_of_them else sorts, all_of_them=all_of_them
        )
        sides = {entry.id: list(_other_sides(connection, name, entry)) for entry in found if entry.is_open}
    table = Table(COLUMNS, [_cells(entry, COLUMNS) for entry in found])
    body: list[Table | str] = []
    if found:
        body.append(Table(_SHOWN, [_cells(entry, _SHOWN) for entry in found]))
        body += list(_details(found))
        body += [f"{number}: the other side of its transaction is {side}" for number in sides for side in sides[number]]
    else:
        body.append("nothing waits")
    entries = [{**row, "other_sides": sides.get(row["id"], [])} for row in table.as_dicts()]
    return Report({"book": name, "entries": entries}, body, table)


def _other_sides(connection: Connection, book: str, entry: Entry) -> Iterator[str]:
    """Where the opposite movement of the same transaction stands or waits, in any book of the ledger."""
    opposite, tx_hash = _OPPOSITE.get(entry.type), normal_tx_hash(entry.tx_hash or "")
    if opposite is None or not tx_hash or entry.sort != "movement" or entry.asset is None:
        return
    for other in store.book_names(connection):
        for stored in store.find_movements(connection, other, opposite, tx_hash, entry.asset):
            if store.find_reversal(connection, other, stored.version) is None:
                yield f"the {opposite} {other}:{stored.version}"
        for waiting in inbox.entries(connection, other, sorts=MOVEMENTS):
            is_same = normal_tx_hash(waiting.tx_hash or "") == tx_hash
            if is_same and (waiting.type, waiting.asset) == (opposite, entry.asset):
                yield f"the {opposite} that waits in {other} as entry {waiting.id}"


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
