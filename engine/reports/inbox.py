"""`inbox`: what waits for a person, and what became of it; and the line about it that other reports show."""

from __future__ import annotations

from collections.abc import Iterator

from engine import inbox
from engine.inbox import Entry
from engine.reports.report import Report, Table, counted
from ledger import store
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
    table = Table(COLUMNS, [_cells(entry, COLUMNS) for entry in found])
    body: list[Table | str] = []
    if found:
        body.append(Table(_SHOWN, [_cells(entry, _SHOWN) for entry in found]))
        body += list(_details(found))
    else:
        body.append("nothing waits")
    return Report({"book": name, "entries": table.as_dicts()}, body, table)


def waiting_lines(database: Database, name: str) -> Iterator[str]:
    """A line that says how much waits in a book's inbox; none when nothing does."""
    with database.reading() as connection:
        found = inbox.waiting(connection, name)
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
