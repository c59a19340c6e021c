"""Logs in memory: events sealed as an append seals them, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ledger.amounts import ZERO, add
from ledger.appender import seal
from ledger.book import GENESIS_HASH, Book, Head
from ledger.effects import Effects, effects_of
from ledger.events import Opened, event_from
from ledger.rules import complete
from ledger.stored import StoredEvent
from tests.support import START

TERMS = Book("main", "live", "RLUSD", "XRP", "profit_first/1")


class _History:
    def __init__(self) -> None:
        self.log: list[StoredEvent] = []
        self.value: Decimal = ZERO

    def starting_value(self) -> Decimal:
        return self.value

    def effects_at(self, version: int) -> Effects:
        return self.log[version - 1].effects


def log_of(given: Iterable[Mapping[str, Any]], book: Book = TERMS) -> list[StoredEvent]:
    """The stored events of these fields; `hours` gives `at` as hours after the start, by default the event's number."""
    history, head = _History(), Head(0, GENESIS_HASH, START)
    opened = {"type": "opened", "mode": book.mode, "numeraire": book.numeraire, "base_asset": book.base_asset}
    for number, fields in enumerate([opened, *given]):
        hours = fields.get("hours", number)
        rest = {name: value for name, value in fields.items() if name != "hours"}
        kept = {"key": f"k:{number}", "at": (START + timedelta(hours=hours)).isoformat()}
        event = complete(event_from({**kept, **rest}), book)
        assert isinstance(event, Opened) == (number == 0)
        stored = seal(
            event,
            effects_of(event, book, history),
            book=book,
            head=head,
            event_id=str(number),
            recorded_at=START + timedelta(days=1000, seconds=number),
            reversed_event=history.log[fields["reverses"] - 1] if fields["type"] == "reversal" else None,
        )
        history.log.append(stored)
        history.value = add(history.value, stored.effects.starting_value_delta)
        head = Head(stored.version, stored.hash, stored.recorded_at)
    return history.log
