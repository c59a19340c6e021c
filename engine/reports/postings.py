"""`register`: every posting with the running balance of its asset; and, when asked for, the events that move none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from engine.reports.report import Report, Table
from engine.views import NOW, EventsOf, Moment, RegisterFilter, events_of_rows, register
from ledger.database.connections import Database
from projections.register import RegisterRow

_ALL = tuple(field.name for field in fields(RegisterRow))
# What people are shown, by the type that was asked for; programs are given every column.
_POSTING = ("asset", "delta", "balance", "part")
_SHOWN: dict[str | None, tuple[str, ...]] = {
    "opened": (),
    "mark": ("asset", "price"),
    "basis_commit": ("asset", "basis_delta"),
    "baseline": ("starting_value", "reason"),
    "adjustment": (*_POSTING, "reason"),
    "reversal": (*_POSTING, "price", "basis_delta", "starting_value"),
}


@contextmanager
def postings(
    database: Database,
    name: str,
    moment: Moment = NOW,
    wanted: RegisterFilter | None = None,
    *,
    every_column: bool = True,
    events_of: EventsOf = events_of_rows,
) -> Iterator[Report]:
    """The postings of a book as a stream, which must be read inside the context; memory stays flat.

    The document lacks the rows: they are in `rows`. Without `every_column` they have the columns that people are shown.
    Raises as `view_at`.
    """
    chosen = wanted or RegisterFilter()
    of_type = _SHOWN.get(chosen.type, _POSTING)
    shown = ("version", "at", "type", *of_type, "session_id", "strategy", "key", "reverses", "reversed_by")
    columns = _ALL if every_column else shown
    with register(database, name, moment, chosen, events_of=events_of) as (book, head, rows):
        table = Table(columns, ([getattr(row, column) for column in columns] for row in rows))
        yield Report({"book": book.name, "version": moment.version_of(head)}, [table], table)
