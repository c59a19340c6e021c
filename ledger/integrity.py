"""Proving a book's log: every event is recomputed from its bytes and compared with all that is stored beside them.

For each row, in order: the version has no gap, the hash follows from the predecessor's hash and the body, `recorded_at`
does not decrease, and every column is what the body gives. At the end the book's row agrees with the last event. A
changed body shows at its version only: the next event is accepted when it follows from the stored hash or from the
recomputed one. A tail that was cut off together with the book's row shows only against a head that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, type_coerce
from sqlalchemy.types import NullType

from ledger import store, triggers
from ledger.amounts import ZERO, add
from ledger.book import GENESIS_HASH, Book, Head
from ledger.effects import Effects, effects_of
from ledger.errors import NetbasisError, StorageError, StorageFault
from ledger.events import Event, Opened, Reversal
from ledger.findings import Finding
from ledger.mapper import row_of, stored_event
from ledger.stored import StoredEvent, chain_hash, open_body
from ledger.tables import books, events

CHAIN = "chain"
_PROVED_BY_HASH = frozenset({"body", "hash"})


@dataclass(frozen=True, slots=True)
class Proved:
    """One row of the log, recomputed: the event as its bytes give it (None when unreadable), and what was found."""

    version: int
    stored: StoredEvent | None
    event: Event | None
    findings: tuple[Finding, ...]


def require_sound_file(connection: Connection) -> None:
    """Raises StorageError `database_damaged` when SQLite's own check of the file's pages finds damage."""
    if connection.dialect.name != "sqlite":
        return
    found = list(connection.scalars(text("PRAGMA quick_check(5)")))
    if found != ["ok"]:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED,
            "the file is damaged",
            actual="; ".join(found),
            advice="keep a copy of it as it is, restore a backup, and append what is missing: keys make that safe",
        )


def check_triggers(connection: Connection) -> Iterator[Finding]:
    """A finding for each trigger that no longer guards the events as the migrations made it."""
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'")
    found: dict[str, str] = dict(connection.execute(query).tuples().all())
    for name, statement in triggers.SQLITE.items():
        if name not in found:
            yield Finding(CHAIN, None, f"the trigger {name} is missing: events can be changed", expected=name)
        elif found[name] != statement:
            yield Finding(CHAIN, None, f"the trigger {name} was altered", expected=statement, actual=found[name])


def check_orphans(connection: Connection) -> Iterator[Finding]:
    """A finding for each book that has events but no row in `books`."""
    known = select(books.c.book)
    query = (
        select(events.c.book, func.count(), func.min(events.c.version))
        .where(events.c.book.not_in(known))
        .group_by(events.c.book)
    )
    for name, count, version in connection.execute(query):
        yield Finding(CHAIN, version, f"{count} events belong to the book {name!r}, which does not exist")


def prove_log(connection: Connection, book: Book, head: Head) -> Iterator[Proved]:
    """Every row of the book's log, recomputed, in order and with flat memory; the last item is about the head."""
    return _Prover(connection, book, head).run()


class _Prover:
    def __init__(self, connection: Connection, book: Book, head: Head) -> None:
        self._connection = connection
        self._book = book
        self._head = head
        self._version = 0
        self._hashes = (GENESIS_HASH, GENESIS_HASH)
        self._recorded_at = ""
        self._history = _Recomputed(connection, book)
        dialect = connection.dialect
        self._stored_forms = {
            column.name: column.type.dialect_impl(dialect).bind_processor(dialect) or _unchanged
            for column in events.columns
        }

    def run(self) -> Iterator[Proved]:
        raw: list[Any] = [type_coerce(column, NullType).label(column.name) for column in events.columns]
        query = select(*raw).where(events.c.book == self._book.name).order_by(events.c.version)
        with self._connection.execution_options(yield_per=store.ROWS_AT_ONCE).execute(query) as rows:
            for row in rows:
                yield self._prove(row)
        yield Proved(self._version, None, None, tuple(self._check_head()))

    def _prove(self, row: Row[Any]) -> Proved:
        findings = list(self._check_place(row))
        event, stored = None, None
        try:
            event, stored = self._recompute(row)
            findings += self._compare(row, stored)
        except (NetbasisError, AssertionError, TypeError, ValueError, AttributeError) as error:
            findings.append(Finding(CHAIN, self._version, f"the event cannot be read: {error}"))
        return Proved(self._version, stored, event, tuple(findings))

    def _check_place(self, row: Row[Any]) -> Iterator[Finding]:
        expected = self._version + 1
        self._version = row.version if isinstance(row.version, int) else expected
        if row.version != expected:
            missing = f"{expected}" if row.version == expected + 1 else f"{expected} to {row.version - 1}"
            yield Finding(CHAIN, expected, f"version {missing} is missing", str(expected), str(row.version))
        computed = [chain_hash(previous, _bytes(row.body)) for previous in self._hashes]
        if _bytes(row.hash) not in computed:
            detail = "the hash does not follow from the event's bytes and its predecessor's hash"
            yield Finding(CHAIN, self._version, detail, computed[0].hex(), _bytes(row.hash).hex())
        self._hashes = (_bytes(row.hash), computed[0])
        recorded_at = str(row.recorded_at)
        if recorded_at < self._recorded_at:
            detail = "it was recorded before its predecessor"
            yield Finding(CHAIN, self._version, detail, f"at or after {self._recorded_at}", recorded_at)
        self._recorded_at = max(recorded_at, self._recorded_at)

    def _recompute(self, row: Row[Any]) -> tuple[Event, StoredEvent]:
        """The event and its stored form as the bytes give them, hash included."""
        sealed = open_body(_bytes(row.body))
        event = sealed.event
        if isinstance(event, Opened) is not (sealed.version == 1):
            raise StorageError(StorageFault.EVENT_UNREADABLE, "a book is opened by its first event and no other")
        reversed_event = self._history.stored_at(event.reverses) if isinstance(event, Reversal) else None
        stored = stored_event(
            event,
            self._history.effects(event, sealed.version),
            book=sealed.book,
            version=sealed.version,
            event_id=sealed.event_id,
            recorded_at=sealed.recorded_at,
            body=_bytes(row.body),
            digest=_bytes(row.hash),
            reversed_event=reversed_event,
        )
        return event, stored

    def _compare(self, row: Row[Any], stored: StoredEvent) -> Iterator[Finding]:
        for name, value in row_of(stored).items():
            if name in _PROVED_BY_HASH:
                continue
            expected, actual = self._stored_forms[name](value), getattr(row, name)
            if expected != actual or type(expected) is not type(actual):
                detail = f"the column {name} is not what the event's bytes give"
                yield Finding(CHAIN, self._version, detail, _shown(expected), _shown(actual))

    def _check_head(self) -> Iterator[Finding]:
        head = self._head
        if head.version != self._version:
            detail = "the book's head is not at the last event: the tail was cut off, or events were put in"
            yield Finding(CHAIN, min(head.version, self._version) + 1, detail, str(head.version), str(self._version))
        elif head.hash != self._hashes[0]:
            detail = "the book's head has another hash than the last event"
            yield Finding(CHAIN, self._version, detail, head.hash.hex(), self._hashes[0].hex())
        yield from self._check_terms()

    def _check_terms(self) -> Iterator[Finding]:
        first = store.find_event(self._connection, self._book.name, 1)
        try:
            opened = first.event if first else None
        except StorageError:
            return  # found above
        if isinstance(opened, Opened):
            for name in ("mode", "numeraire", "base_asset", "withdrawal_policy"):
                expected, actual = getattr(opened, name), getattr(self._book, name)
                if expected != actual:
                    yield Finding(CHAIN, 1, f"the book's row has another {name} than its first event", expected, actual)


class _Recomputed:
    """The log so far, recomputed from the bodies. Of the events only the baselines' effects are kept."""

    def __init__(self, connection: Connection, book: Book) -> None:
        self._connection = connection
        self._book = book
        self._starting_value = ZERO
        self._baselines: dict[int, Effects] = {}

    def effects(self, event: Event, version: int) -> Effects:
        """The effects of the next event, whose deltas are added to what is known."""
        effects = effects_of(event, self._book, self)
        self._starting_value = add(self._starting_value, effects.starting_value_delta)
        if effects.effect_of == "baseline":
            self._baselines[version] = effects
        return effects

    def starting_value(self) -> Decimal:
        return self._starting_value

    def effects_at(self, version: int) -> Effects:
        kept = self._baselines.get(version)
        return kept or effects_of(self.stored_at(version).event, self._book, self)

    def stored_at(self, version: int) -> StoredEvent:
        stored = store.find_event(self._connection, self._book.name, version)
        if stored is None:
            raise StorageError(StorageFault.EVENT_UNREADABLE, f"it reverses version {version}, which is not there")
        return stored


def _unchanged(value: Any) -> Any:
    return value


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
