"""Proving a book's log: every event is recomputed from its bytes and compared with all that is stored beside them.

For each row, in order: the version has no gap, the hash follows from the predecessor's hash and the body, `recorded_at`
does not decrease, and every column is what the body gives. At the end the book's row agrees with the last event and its
terms with the first.

A change shows at its version and nowhere else. The next event is accepted when it follows from the stored hash or from
the recomputed one. Bytes that are not what was hashed are not believed: what later events need of such an event (a
reversal its effects, a baseline the starting value) is taken from its columns. Nothing that stands in a column, be it
text where a number belongs, stops the proof. A tail that was cut off together with the book's row shows only against a
head that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, Select, Table, bindparam, func, literal, select

from ledger import store
from ledger.amounts import ZERO, add
from ledger.book import GENESIS_HASH, TERMS, Book, Head
from ledger.database.tables import books, events
from ledger.effects import Effects, effects_of
from ledger.errors import NetbasisError, StorageError, StorageFault
from ledger.events import Event, Opened, Reversal
from ledger.integrity.fast_lane import FastLane, ProvedRows
from ledger.integrity.findings import Finding
from ledger.integrity.raw_log import RawRow, named, raw_log
from ledger.integrity.raw_rows import raw_columns, shown_raw
from ledger.mapper import encode_row, stored_event
from ledger.stored import DecodedBody, StoredEvent, chain_hash, decode_body
from ledger.times import BEGINNING, time_text

CHAIN = "chain"
_PROVED_BY_HASH = frozenset({"body", "hash"})
# Of neighbours that were all changed, each leaves one more hash that its successor may follow from.
_HASHES_KEPT = 8
# Built once: building a statement takes longer than running it.
_AT_VERSION = select(*raw_columns(events)).where(
    events.c.book == bindparam("of_book"), events.c.version == bindparam("version")
)
# What bytes and columns that somebody else wrote can raise.
UNREADABLE = (NetbasisError, AssertionError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError)


@dataclass(frozen=True, slots=True)
class ProvedRow:
    """One row of the log, proved: the event as its bytes give it, its stored form, and what was found.

    `event` is None when the bytes are unreadable. `stored` is recomputed from the bytes, or from the columns when the
    bytes are not what was hashed; None when neither can be read. `sealed`: what the bytes hold, of bytes that are what was
    hashed and can be read, else None; `body`: those bytes.
    """

    version: int
    stored: StoredEvent | None
    event: Event | None
    findings: tuple[Finding, ...]
    sealed: DecodedBody | None = None
    body: bytes = b""


def check_orphans(connection: Connection, table: Table = events, invariant: str = CHAIN) -> Iterator[Finding]:
    """A finding for each book that has rows in a table but no row in `books`; of the events with the first version."""
    for name, count, version in connection.execute(_orphans(table)):
        place = version if isinstance(version, int) else None
        what = f"{count} events belong" if table is events else f"rows of the table {table.name} ({count}) belong"
        yield Finding(invariant, place, f"{what} to the book {shown_raw(name)!r}, which does not exist")


@cache
def _orphans(table: Table) -> Select[Any]:
    first = func.min(table.c.version) if table is events else literal(None)
    known = select(books.c.book)
    return select(raw_columns(table)[0], func.count(), first).where(table.c.book.not_in(known)).group_by(table.c.book)


class Prover:
    """Proves a book's log. `run` yields every row in order, with flat memory; the last item is about the book's row.

    Who would rather have sound rows proved many at once goes over `rows` himself: those that `overtake` does not take, he
    gives to `prove` one by one, and at the end he asks `prove_end`.

    `book`: the terms as the first event gives them, once it was passed. `head`: the end of what was proved so far.
    Raises Refused `book_unknown`.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        row = connection.execute(select(*raw_columns(books)).where(books.c.book == name)).one_or_none()
        if row is None:
            raise store.unknown_book(connection, name)
        self.book = Book(name, *(shown_raw(getattr(row, term)) for term in TERMS))
        self.head = Head(0, GENESIS_HASH, BEGINNING)
        self._recorded_at = BEGINNING
        self._book_row = row
        self._connection = connection
        self._hashes: tuple[bytes, ...] = (GENESIS_HASH,)
        self._history = _History(connection, self.book)
        self._opened: Opened | None = None
        self._event_forms = _stored_forms(connection, events)
        self._book_forms = _stored_forms(connection, books)

    @property
    def stored_head_version(self) -> Any:
        """What the book's row has for its newest version, whatever it is."""
        return self._book_row.head_version

    def type_at(self, version: int) -> str | None:
        """The type of an earlier event; None where there is none that can be read."""
        try:
            return self._history.type_at(version)
        except UNREADABLE:
            return None

    def run(self) -> Iterator[ProvedRow]:
        """Each row of the log, proved; at last what is found about the book's row."""
        for rows in self.rows():
            yield from map(self.prove, rows)
        yield self.prove_end()

    def rows(self) -> Iterator[Sequence[RawRow]]:
        """The rows of the log in order, many at once, none of them proved."""
        return raw_log(self._connection, self.book.name)

    def overtake(self, lane: FastLane, rows: Sequence[RawRow]) -> ProvedRows | None:
        """What the next rows add up to, where the fast lane proves them all; None, and nothing is done, where not.

        They count as passed only when `pass_over` is told.
        """
        return lane.take(rows, Head(self.head.version, self._hashes[0], self._recorded_at), self.book.numeraire)

    def is_next(self, version: int, previous_hash: bytes, recorded_at: datetime | None) -> bool:
        """Whether rows that were proved by themselves go on from here. `recorded_at`: of the first; None: not compared."""
        is_later = recorded_at is None or self._recorded_at <= recorded_at
        return (self.head.version + 1, self.head.hash) == (version, previous_hash) and is_later

    def pass_over(self, taken: ProvedRows) -> None:
        """Go on behind rows that the fast lane has proved: as `prove` would have left it after the last of them."""
        self.head = taken.head
        self._hashes = (taken.head.hash,)
        self._recorded_at = taken.head.recorded_at
        self._history.add_to_starting_value(taken.tally.net_deposits)

    def prove(self, raw: RawRow) -> ProvedRow:
        """The next row of the log, proved."""
        row = named(raw)
        stray = self._stray(row)
        return self._prove(row) if stray is None else ProvedRow(self.head.version, None, None, (stray,))

    def prove_end(self) -> ProvedRow:
        """After the last row: what is found about the book's row."""
        return ProvedRow(self.head.version, None, None, tuple(self._check_book_row()))

    def _stray(self, row: Any) -> Finding | None:
        """A finding for a row that has no place in the chain; the versions are unique, so it is a forged one."""
        if type(row.version) is int and row.version >= 1:
            return None
        place = row.version if type(row.version) is int else self.head.version + 1
        detail = "a row whose version is not a whole number from 1"
        return Finding(CHAIN, place, detail, str(self.head.version + 1), shown_raw(row.version))

    def _prove(self, row: Any) -> ProvedRow:
        broken = list(self._check_hash(row))
        findings = [*self._check_gap(row), *broken]
        body = _bytes(row.body)
        event, stored, sealed = None, None, None
        try:
            sealed = decode_body(body)
            event = sealed.event
            if not broken:
                self._learn_terms(sealed)
            stored = self._recompute(row, sealed)
            findings += self._compare(row, stored)
        except UNREADABLE as error:
            findings.append(Finding(CHAIN, row.version, f"the event cannot be read: {shown_raw(error)}"))
        if stored is not None and not broken:
            findings += self._check_recorded_at(stored)
        else:
            self._history.distrusted.add(row.version)
            stored = self._history.from_columns(row.version) or stored
        recorded_at = self.head.recorded_at if stored is None else stored.recorded_at
        self.head = Head(row.version, _bytes(row.hash), recorded_at)
        if stored is not None:
            self._history.passed(stored)
        return ProvedRow(row.version, stored, event, tuple(findings), None if broken else sealed, body)

    def _check_gap(self, row: Any) -> Iterator[Finding]:
        expected = self.head.version + 1
        if row.version != expected:
            missing = f"{expected}" if row.version == expected + 1 else f"{expected} to {row.version - 1}"
            yield Finding(CHAIN, expected, f"version {missing} is missing", str(expected), str(row.version))

    def _check_hash(self, row: Any) -> Iterator[Finding]:
        """The hash follows from the body and one of the hashes that the predecessor may have had."""
        digest, body = _bytes(row.hash), _bytes(row.body)
        computed = [chain_hash(previous, body) for previous in self._hashes]
        if digest in computed and digest == row.hash and body == row.body:
            self._hashes = (digest,)
            return
        self._hashes = (digest, *computed)[:_HASHES_KEPT]
        detail = "the hash does not follow from the event's bytes and its predecessor's hash"
        yield Finding(CHAIN, row.version, detail, computed[0].hex(), shown_raw(row.hash))

    def _learn_terms(self, sealed: DecodedBody) -> None:
        """The book's terms are those that its first event gives; its row may have been changed."""
        if isinstance(sealed.event, Opened) and self._opened is None:
            self._opened = sealed.event
            self.book = Book.on_terms_of(self.book.name, self._opened)
            self._history.book = self.book

    def _recompute(self, row: Any, sealed: DecodedBody) -> StoredEvent:
        """The stored form as the bytes give it, hash included."""
        event = sealed.event
        if isinstance(event, Reversal) and not event.reverses < sealed.version:
            raise StorageError(
                StorageFault.EVENT_UNREADABLE, f"it reverses version {event.reverses}, not an earlier one"
            )
        if isinstance(event, Opened) is not (sealed.version == 1):
            raise StorageError(StorageFault.EVENT_UNREADABLE, "a book is opened by its first event and no other")
        return stored_event(
            event,
            effects_of(event, self.book, self._history),
            book=sealed.book,
            version=sealed.version,
            event_id=sealed.event_id,
            recorded_at=sealed.recorded_at,
            body=_bytes(row.body),
            digest=_bytes(row.hash),
            reversed_event=self._history.stored_at(event.reverses) if isinstance(event, Reversal) else None,
        )

    def _compare(self, row: Any, stored: StoredEvent) -> Iterator[Finding]:
        values = encode_row(stored)
        for (name, stored_form), actual in zip(self._event_forms.items(), row, strict=True):
            if name in _PROVED_BY_HASH:
                continue
            expected = stored_form(values[name])
            if expected != actual or type(expected) is not type(actual):
                detail = f"the column {name} is not what the event's bytes give"
                yield Finding(CHAIN, row.version, detail, shown_raw(expected), shown_raw(actual))

    def _check_recorded_at(self, stored: StoredEvent) -> Iterator[Finding]:
        if stored.recorded_at < self._recorded_at:
            expected, actual = f"at or after {time_text(self._recorded_at)}", time_text(stored.recorded_at)
            yield Finding(CHAIN, stored.version, "it was recorded before its predecessor", expected, actual)
        self._recorded_at = max(stored.recorded_at, self._recorded_at)

    def _check_book_row(self) -> Iterator[Finding]:
        for term in TERMS if self._opened is not None else ():
            yield from self._compare_book_row(term, getattr(self._opened, term), "the first event", 1)
        stored, last = self._book_row.head_version, self.head.version
        if stored != last or last == 0:
            detail = "the book's head_version is not at the last event: the tail was cut off, or events were put in"
            place = min(stored, last) + 1 if type(stored) is int else last
            yield Finding(CHAIN, place, detail, str(last), shown_raw(stored))
            return
        yield from self._compare_book_row("head_hash", self.head.hash, "the last event", last)
        yield from self._compare_book_row("head_recorded_at", self.head.recorded_at, "the last event", last)

    def _compare_book_row(self, name: str, value: Any, event: str, version: int) -> Iterator[Finding]:
        expected, actual = self._book_forms[name](value), getattr(self._book_row, name)
        if expected != actual or type(expected) is not type(actual):
            detail = f"the book's row has another {name} than {event}"
            yield Finding(CHAIN, version, detail, shown_raw(expected), shown_raw(actual))


class _History:
    """The log so far, as later events need it. Of the events only the baselines' effects are kept.

    `distrusted`: the versions whose bytes are not what was hashed.
    """

    def __init__(self, connection: Connection, book: Book) -> None:
        self.book = book
        self.distrusted: set[int] = set()
        self._connection = connection
        self._starting_value = ZERO
        self._baselines: dict[int, Effects] = {}

    def add_to_starting_value(self, delta: Decimal) -> None:
        """Takes the effects of events into account that are no baselines."""
        self._starting_value = add(self._starting_value, delta)

    def passed(self, stored: StoredEvent) -> None:
        """Takes the next event's effects into account."""
        self.add_to_starting_value(stored.effects.starting_value_delta)
        if stored.effects.effect_of == "baseline":
            self._baselines[stored.version] = stored.effects

    def from_columns(self, version: int) -> StoredEvent | None:
        """The event as its columns give it; None when they cannot be read."""
        try:
            return store.find_event(self._connection, self.book.name, version)
        except StorageError:
            return None

    def type_at(self, version: int) -> str:
        """The type of an earlier event; raises what unreadable bytes raise."""
        stored = self.from_columns(version) if version in self.distrusted else None
        return decode_body(_bytes(self._row(version).body)).event.kind if stored is None else stored.type

    def starting_value(self) -> Decimal:
        return self._starting_value

    def effects_at(self, version: int) -> Effects:
        return self.stored_at(version).effects

    def stored_at(self, version: int) -> StoredEvent:
        """An earlier event: from its bytes, or from its columns when the bytes are not what was hashed."""
        stored = self.from_columns(version) if version in self.distrusted else None
        if stored is not None:
            return stored
        row = self._row(version)
        sealed = decode_body(_bytes(row.body))
        if isinstance(sealed.event, Reversal):
            raise StorageError(StorageFault.EVENT_UNREADABLE, f"it reverses version {version}, which is a reversal")
        return stored_event(
            sealed.event,
            self._baselines.get(version) or effects_of(sealed.event, self.book, self),
            book=sealed.book,
            version=version,
            event_id=sealed.event_id,
            recorded_at=sealed.recorded_at,
            body=_bytes(row.body),
            digest=_bytes(row.hash),
            reversed_event=None,
        )

    def _row(self, version: int) -> Row[Any]:
        row = self._connection.execute(_AT_VERSION, {"of_book": self.book.name, "version": version}).one_or_none()
        if row is None:
            raise StorageError(StorageFault.EVENT_UNREADABLE, f"it reverses version {version}, which is not there")
        return row


def _stored_forms(connection: Connection, table: Table) -> dict[str, Any]:
    """By column, what turns a value into the form that the driver gives when it is selected raw."""
    dialect = connection.dialect
    forms: dict[str, Any] = {}
    for column in table.columns:
        bind = column.type.dialect_impl(dialect).bind_processor(dialect)
        forms[column.name] = _unchanged if bind is None or isinstance(column.type, LargeBinary) else bind
    return forms


def _unchanged(value: Any) -> Any:
    return value


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
