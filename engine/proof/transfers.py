"""`transfers`: each side of a transfer has its other side in the other book, and what the two move cancels.

    a:7  withdrawal 50 RLUSD, transfer {id: T, book: b}     b:4  deposit 50 RLUSD, transfer {id: T, book: a}     sound
    a:9  reversal of 7                                      b:4  stands                                         a finding

Where the other book is not in this ledger (a copy of one book), or its log ends before the transfer, that is a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from engine.pairing import Side, are_a_pair, transfer_of
from ledger import store
from ledger.errors import Refused, StorageError, shown
from ledger.events import Event, Reversal
from ledger.integrity.findings import Finding
from ledger.stored import StoredEvent

TRANSFERS = "transfers"


@dataclass(slots=True)
class _SeenSide:
    """A side of this book: the event, and the version that reverses it; None while it stands."""

    side: Side
    reversed_by: int | None = None


class Transfers:
    """Watches a book's log go by, and compares its transfers with the other books at the end.

    notes: what cannot be compared; memory grows with the transfers, not with the log
    """

    def __init__(self, connection: Connection) -> None:
        self.notes: list[str] = []
        self._connection = connection
        self._seen: dict[int, _SeenSide] = {}

    def observe(self, stored: StoredEvent, event: Event | None) -> None:
        """Look at one event; `event` is None when its bytes cannot be read."""
        if isinstance(event, Reversal):
            if event.reverses in self._seen:
                self._seen[event.reverses].reversed_by = stored.version
            return
        of = None if event is None else transfer_of(event)
        if of is not None:
            self._seen[stored.version] = _SeenSide(Side(stored, of))

    def findings(self) -> Iterator[Finding]:
        """What of the transfers does not hold. Fills in `notes`."""
        absent: dict[str, int] = {}
        for version, seen in self._seen.items():
            of = seen.side.of
            try:
                yield from self._find_answer(version, seen, absent)
            except StorageError:
                detail = f"the other side of the transfer {shown(of.id)} in the book {shown(of.book)} cannot be read"
                yield Finding(TRANSFERS, version, detail)
        for book, count in sorted(absent.items()):
            noun = "transfer's other side is" if count == 1 else "transfers' other sides are"
            self.notes.append(f"{count} {noun} in the book {shown(book)}, which is not in this ledger")

    def _find_answer(self, version: int, seen: _SeenSide, absent: dict[str, int]) -> Iterator[Finding]:
        """What of one side does not hold; where its book is absent, that is counted."""
        of = seen.side.of
        try:
            found = store.find_book(self._connection, of.book)
        except Refused:  # no book can have that name
            found = None
        if found is None:
            absent[of.book] = absent.get(of.book, 0) + 1
            return
        answer = store.find_keys(self._connection, of.book, [of.id]).get(of.id)
        if answer is None and found[1].recorded_at < seen.side.stored.recorded_at:
            self.notes.append(f"the book {shown(of.book)} ends before the transfer at version {version}")
            return
        yield from self._compare(version, seen, answer)

    def _compare(self, version: int, seen: _SeenSide, answer: StoredEvent | None) -> Iterator[Finding]:
        of = seen.side.of
        place = f"of the transfer {shown(of.id)} in the book {shown(of.book)}"
        theirs = None if answer is None else transfer_of(answer.event)
        if answer is None or theirs is None:
            yield Finding(TRANSFERS, version, f"the other side {place} is missing", "its other side", "nothing")
            return
        if not are_a_pair(seen.side, Side(answer, theirs)):
            yield Finding(
                TRANSFERS, version, f"what it moves does not cancel with the side {place}", *_moves(seen.side, answer)
            )
        their_reversal = store.find_reversal(self._connection, of.book, answer.version)
        if (seen.reversed_by is None) != (their_reversal is None):
            reversed_, standing = f"version {seen.reversed_by} reverses it", f"the other side {place} stands"
            if seen.reversed_by is None:
                reversed_, standing = f"the other side {place} is reversed", "it stands"
            yield Finding(TRANSFERS, version, f"{reversed_}, while {standing}")


def _moves(side: Side, answer: StoredEvent) -> tuple[str, str]:
    return _described(side.stored), _described(answer)


def _described(stored: StoredEvent) -> str:
    effects = stored.effects
    moved = f"{effects.own.delta:f} {effects.own.asset}" if effects.own else "nothing"
    return f"{effects.effect_of} {moved}, net deposits {effects.net_deposits_delta:f}, basis {effects.basis_delta:f}"
