"""`check`: the file, the chain, the invariants and the stored projections, in one pass over the log with flat memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from engine.bookkeeper import utc_now
from engine.invariants import INVARIANTS, Step
from engine.notes import Notes
from engine.projection_store import difference, read_rows, rows_of
from ledger import store
from ledger.amounts import amount_text, subtract
from ledger.book import Book, Head
from ledger.database import Database
from ledger.errors import StorageError
from ledger.events import Event
from ledger.findings import Finding
from ledger.integrity import (
    CHAIN,
    Prover,
    any_text,
    check_orphans,
    check_triggers,
    require_sound_file,
    shown_raw,
)
from ledger.stored import StoredEvent
from ledger.times import time_text
from projections.marks import Selection
from projections.state import EMPTY, BookState, apply

PROJECTIONS_MATCH = "projections_match"
NAMES = (CHAIN, *INVARIANTS, PROJECTIONS_MATCH)
OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ExpectedHead:
    """A head that was kept elsewhere: the hash must stand in the chain, at `version` when that is given."""

    hash: bytes
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A check's outcome: all that does not hold, and notes on what is unusual but allowed."""

    book: Book
    head: Head
    findings: list[Finding]
    notes: list[str]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return len(self.findings) == 0


def check(
    database: Database,
    name: str,
    *,
    only: Collection[str] = NAMES,
    expected_head: ExpectedHead | None = None,
    on_progress: OnProgress | None = None,
    now: datetime | None = None,
) -> Checked:
    """Check a book. `only` names invariants of `NAMES`; `on_progress` gets the version reached.

    `now`: what the clock says, None for the system's; what is dated ahead of it is a note.

    Raises StorageError `database_damaged` when the file itself is; Refused `book_unknown`.
    """
    with database.reading() as connection, any_text(connection):
        require_sound_file(connection)
        run = _Run(connection, Prover(connection, name), only, now or utc_now())
        findings = list(run.findings(expected_head, on_progress))
        return Checked(run.prover.book, run.prover.head, findings, list(run.notes.lines(run.state)))


class _Run:
    """One pass over the log; `state` is what the proved events add up to so far."""

    def __init__(self, connection: Connection, prover: Prover, only: Collection[str], now: datetime) -> None:
        self.prover = prover
        self.state = EMPTY
        self._connection = connection
        self._only = only
        reversed_marks = store.reversed_marks(connection, prover.book.name)
        self._standing = Selection(reversed_marks)
        self.notes = Notes(now, reversed_marks)
        self._invariants = [INVARIANTS[name]() for name in INVARIANTS if name in only]

    def findings(self, expected_head: ExpectedHead | None, on_progress: OnProgress | None) -> Iterator[Finding]:
        """All that does not hold."""
        if CHAIN in self._only:
            yield from check_triggers(self._connection)
            yield from check_orphans(self._connection)
        expected_stands = expected_head is None
        for proved in self.prover.run():
            if CHAIN in self._only:
                yield from proved.findings
            if proved.stored is not None:
                yield from self._watch(proved.stored, proved.event)
            expected_stands = expected_stands or _stands_at(expected_head, self.prover.head)
            if on_progress is not None and proved.stored is not None and proved.version % store.ROWS_AT_ONCE == 0:
                on_progress(proved.version)
        if expected_head is not None and not expected_stands:
            yield _head_is_gone(expected_head, self.prover.head)
        if PROJECTIONS_MATCH in self._only:
            yield from _compare_projections(self._connection, self.prover.book, self.state)

    def _watch(self, stored: StoredEvent, event: Event | None) -> Iterator[Finding]:
        """Fold one event, and hold the invariants against what it did."""
        before = self.state
        self.notes.observe(stored, event)
        try:
            self.state = apply(before, stored, self._standing)
        except StorageError:
            return  # a mark whose bytes cannot be read: found by the prover
        step = Step(self.prover.book, stored, event, before, self.state)
        for invariant in self._invariants:
            yield from invariant.observe(step)


def _stands_at(expected: ExpectedHead | None, head: Head) -> bool:
    return expected is not None and head.hash == expected.hash and expected.version in (None, head.version)


def _head_is_gone(expected: ExpectedHead, head: Head) -> Finding:
    place = "the chain" if expected.version is None else f"the chain at version {expected.version}"
    detail = f"the head that was kept elsewhere does not stand in {place}: the log was cut or rewritten"
    return Finding(CHAIN, expected.version, detail, expected.hash.hex(), f"head {head.version}:{head.hash.hex()}")


def _compare_projections(connection: Connection, book: Book, state: BookState) -> Iterator[Finding]:
    for change in difference(read_rows(connection, book.name), rows_of(state, book)):
        both = isinstance(change.stored, Decimal) and isinstance(change.rebuilt, Decimal)
        yield Finding(
            PROJECTIONS_MATCH,
            state.version,
            f"the stored projection {change.projection} {change.key} is not what the log adds up to",
            figure_text(change.rebuilt),
            figure_text(change.stored),
            amount_text(subtract(change.stored, change.rebuilt)) if both else None,
        )


def figure_text(figure: Any) -> str | None:
    """A stored figure as canonical text; None for none."""
    if isinstance(figure, Decimal):
        return amount_text(figure)
    if isinstance(figure, datetime):
        return time_text(figure)
    return None if figure is None else shown_raw(figure)
