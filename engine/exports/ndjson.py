"""`export ndjson`: events as `append --file` takes them, so that a round trip gives the same balances, basis and PnL.

A version says where an event stands in one book's log; in another book it is another event's. So a reversal and a
correction name the key of the event that they are about (`reverses_key`, `corrects_key`), and a time that they took over
from it is left to be taken over again. The book's name is left out; the opening is there, for its terms to be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.exports.choosing import Choice, ChosenEvents, LeftOut
from engine.reports.event import event_fields
from engine.views import require_at
from ledger import store
from ledger.database.connections import Database
from ledger.given import CORRECTS_KEY, REVERSES_KEY
from ledger.stored import StoredEvent


@contextmanager
def exported_events(
    database: Database, book: str, choice: Choice
) -> Iterator[tuple[Iterator[dict[str, Any]], LeftOut]]:
    """A stream of a book's events as lines for `append --file`, and what they leave out, complete at the stream's end.

    To be read inside the context; memory stays flat. Raises Refused `book_unknown`, `version_unknown`; StorageError.
    """
    with database.reading() as connection:
        require_at(connection, book, choice.moment)
        chosen = ChosenEvents(choice, store.reversals(connection, book))
        log = chosen.of(store.read_events(connection, book))
        yield (_line(stored, chosen) for stored in log), chosen.left


def _line(stored: StoredEvent, chosen: ChosenEvents) -> dict[str, Any]:
    """An event as a line of a file."""
    fields = {name: field for name, field in event_fields(stored.event).items() if field is not False}
    took_its_time_from: StoredEvent | None = None
    if "corrects" in fields:
        corrected = chosen.corrected_event(fields.pop("corrects"))
        if corrected is None:
            chosen.left.corrections += 1
        else:
            fields[CORRECTS_KEY] = corrected.key
        took_its_time_from = corrected
    if stored.reverses is not None:
        took_its_time_from = chosen.reversed_event(fields.pop("reverses"))
        fields[REVERSES_KEY] = took_its_time_from.key
    if took_its_time_from is not None and took_its_time_from.at == stored.at:
        del fields["at"]
    if chosen.has_gap and fields.pop("evidence", None) is not None:
        chosen.left.evidence += 1
    if fields.pop("transfer", None) is not None:
        chosen.left.transfers += 1
    return fields
