"""`check`: the file, the chain, the invariants and the stored projections, in one pass over the log with flat memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from engine.invariants import INVARIANTS, Step
from engine.projection_store import difference, load_rows, rows_of
from ledger import store
from ledger.amounts import amount_text, subtract
from ledger.book import Book, Head
from ledger.database import Database
from ledger.findings import Finding
from ledger.integrity import CHAIN, check_orphans, check_triggers, prove_log, require_sound_file
from ledger.stored import StoredEvent
from ledger.times import time_text
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
) -> Checked:
    """Check a book. `only` names invariants of `NAMES`; `on_progress` gets the version reached.

    Raises StorageError `database_damaged` when the file itself is; Refused `book_unknown`.
    """
    with database.reading() as connection:
        require_sound_file(connection)
        book, head = store.require_book(connection, name)
        run = _Run(connection, book, head, only)
        findings = list(run.findings(expected_head, on_progress))
        return Checked(book, head, findings, list(_notes(run.state)))


class _Run:
    """One pass over the log; `state` is what the recomputed events add up to so far."""

    def __init__(self, connection: Connection, book: Book, head: Head, only: Collection[str]) -> None:
        self.state = EMPTY
        self._connection = connection
        self._book = book
        self._head = head
        self._only = only

    def findings(self, expected_head: ExpectedHead | None, on_progress: OnProgress | None) -> Iterator[Finding]:
        """All that does not hold."""
        if CHAIN in self._only:
            yield from check_triggers(self._connection)
            yield from check_orphans(self._connection)
        invariants = [INVARIANTS[name]() for name in INVARIANTS if name in self._only]
        expected_stands = expected_head is None
        for proved in prove_log(self._connection, self._book, self._head):
            if CHAIN in self._only:
                yield from proved.findings
            if proved.stored is None or proved.event is None:
                continue
            before, self.state = self.state, apply(self.state, proved.stored)
            step = Step(self._book, proved.stored, proved.event, before, self.state)
            for invariant in invariants:
                yield from invariant.observe(step)
            expected_stands = expected_stands or _stands_at(expected_head, proved.stored)
            if on_progress is not None and proved.version % store.ROWS_AT_ONCE == 0:
                on_progress(proved.version)
        if expected_head is not None and not expected_stands:
            yield _head_is_gone(expected_head, self._head)
        if PROJECTIONS_MATCH in self._only:
            yield from _compare_projections(self._connection, self._book, self.state)


def _stands_at(expected: ExpectedHead | None, stored: StoredEvent) -> bool:
    return expected is not None and stored.hash == expected.hash and expected.version in (None, stored.version)


def _head_is_gone(expected: ExpectedHead, head: Head) -> Finding:
    place = "the chain" if expected.version is None else f"the chain at version {expected.version}"
    detail = f"the head that was kept elsewhere does not stand in {place}: the log was cut or rewritten"
    return Finding(CHAIN, expected.version, detail, expected.hash.hex(), f"head {head.version}:{head.hash.hex()}")


def _compare_projections(connection: Connection, book: Book, state: BookState) -> Iterator[Finding]:
    for change in difference(load_rows(connection, book.name), rows_of(state, book)):
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
    return None if figure is None else str(figure)


def _notes(state: BookState) -> Iterator[str]:
    """What is unusual, but allowed."""
    for asset, holding in state.inventory.items():
        if holding.total < 0:
            yield f"the balance of {asset} is negative: {amount_text(holding.total)}"
    if state.basis.net_basis < 0:
        yield f"net basis is negative: {amount_text(state.basis.net_basis)}"
    if not state.basis.is_known:
        yield f"{state.basis.unknown_bases} deposits have an unknown basis and no synthetic initial basis stands"
