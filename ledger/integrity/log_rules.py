"""The rules of the log, proved from its bytes: what an append refuses must not stand in it either.

    version 5  reversal of 3      allowed, if 3 is of a type that can be reversed
    version 6  reversal of 3      a finding: 3 was reversed already, by version 5
    version 7  fill, corrects 3   allowed, since 3 was reversed before
    version 8  reversal of 8      a finding: it does not lie before

A rehashed log is whole in itself, so the chain does not show what a forger has put in; these rules do. Only bytes that are
what was hashed are held to them, since the chain tells of the others. Memory grows with the reversals, not with the log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import orjson
from sqlalchemy import Column, Connection, func, select, type_coerce
from sqlalchemy.types import NullType

from ledger.amounts import amount_text
from ledger.database.tables import events
from ledger.event_types import EventType
from ledger.events import REVERSIBLE, BasisCommit, Event, Reversal
from ledger.integrity.findings import Finding
from ledger.integrity.prover import ProvedRow, Prover
from ledger.integrity.raw_rows import shown_raw
from ledger.stored import DecodedBody, encode_body

LOG_RULES = "log_rules"
_SHOWN_CHARACTERS = 200


class LogRules:
    """Watches the proved rows of a book's log go by. `known`: the forms that `event_types` lists, None: unknown."""

    def __init__(self, connection: Connection, prover: Prover, known: Collection[EventType] | None) -> None:
        self._connection = connection
        self._prover = prover
        self._unlisted_seen: set[EventType] = set()
        self._known = known
        self._reversals: dict[int, int] = {}

    def observe(self, proved: ProvedRow) -> Iterator[Finding]:
        """What of a row is against the rules."""
        if proved.sealed is not None:
            yield from self._check(proved.version, proved.sealed, proved.body)
        reverses = _reverses(proved)
        if reverses is not None:
            self._reversals.setdefault(reverses, proved.version)

    def _check(self, version: int, sealed: DecodedBody, body: bytes) -> Iterator[Finding]:
        event = sealed.event
        if isinstance(event, Reversal):
            yield from self._check_reversal(version, event.reverses)
        if event.corrects is not None:
            yield from self._check_correction(version, event.corrects)
        if isinstance(event, BasisCommit):
            yield from self._check_commit(version, event)
        yield from self._check_listed(version, (event.kind, sealed.type_version))
        yield from _check_canonical(version, sealed, body)

    def _check_reversal(self, version: int, reverses: int) -> Iterator[Finding]:
        if reverses >= version:
            yield _finding(version, "it reverses an event that does not lie before it", f"below {version}", reverses)
            return
        kind = self._prover.type_at(reverses)
        if kind is not None and kind not in REVERSIBLE:
            expected = f"one of {', '.join(sorted(REVERSIBLE))}"
            yield _finding(
                version, f"it reverses version {reverses}, of a type that cannot be reversed", expected, kind
            )
        if reverses in self._reversals:
            by = self._reversals[reverses]
            yield _finding(version, f"it reverses version {reverses}, which version {by} had reversed already")

    def _check_correction(self, version: int, corrects: int) -> Iterator[Finding]:
        if corrects >= version:
            yield _finding(version, "it corrects an event that does not lie before it", f"below {version}", corrects)
        elif corrects not in self._reversals:
            yield _finding(version, f"it corrects version {corrects}, which was not reversed before")

    def _check_commit(self, version: int, event: BasisCommit) -> Iterator[Finding]:
        expected = event.basis_delta.copy_abs()
        if event.amount != expected:
            actual = None if event.amount is None else amount_text(event.amount)
            yield _finding(version, "the commit's amount is not its |basis delta|", amount_text(expected), actual)

    def _check_listed(self, version: int, form: EventType) -> Iterator[Finding]:
        if self._known is not None and form not in self._known and form not in self._unlisted_seen:
            self._unlisted_seen.add(form)
            name = f"{form[0]}/{form[1]}"
            yield _finding(version, f"the table event_types does not list {name}, of which this is the first", name)

    def at_end(self, *, counts_ids: bool = True) -> Iterator[Finding]:
        """Keys and event ids that stand in the log more than once, as the database counts them.

        `counts_ids`: False for keys alone, which an index counts.
        """
        for column in (events.c.key, events.c.event_id) if counts_ids else (events.c.key,):
            yield from self._check_unique(column)

    def _check_unique(self, column: Column[Any]) -> Iterator[Finding]:
        if not _is_repeated(self._connection, self._prover.book.name, column):
            return
        versions = type_coerce(events.c.version, NullType)
        query = (
            select(type_coerce(column, NullType), func.count(), func.min(versions), func.max(versions))
            .where(events.c.book == self._prover.book.name)
            .group_by(column)
            .having(func.count() > 1)
        )
        rows: Iterable[Any] = self._connection.execute(query)
        for value, count, first, last in rows:
            yield duplicate_value(column.name, value, count, first, last)


def has_repeated_ids(connection: Connection, book: str) -> bool:
    """Whether an event id stands in a book's log more than once."""
    return _is_repeated(connection, book, events.c.event_id)


def _is_repeated(connection: Connection, book: str, column: Column[Any]) -> bool:
    """Whether a value stands in a book's log more than once: no look at the rows where the column has an index."""
    of_book = select(type_coerce(column, NullType)).where(events.c.book == book)
    return connection.execute(of_book.group_by(column).having(func.count() > 1).limit(1)).first() is not None


def duplicate_value(column: str, value: Any, count: int, first: Any, last: Any) -> Finding:
    """A key or an event id that stands in a book more than once. `first`, `last`: the first and the last version."""
    what = column.replace("_", " ")
    detail = f"the {what} {shown_raw(value)!r} stands in the book {count} times, first at version {first}"
    return _finding(last if isinstance(last, int) else None, detail, "once", count)


def _reverses(proved: ProvedRow) -> int | None:
    """The version that a row reverses: as its bytes say, or its columns where the bytes are not what was hashed."""
    event: Event | None = None if proved.sealed is None else proved.sealed.event
    if isinstance(event, Reversal):
        return event.reverses
    return None if proved.stored is None else proved.stored.reverses


def _check_canonical(version: int, sealed: DecodedBody, body: bytes) -> Iterator[Finding]:
    """The bytes are those that sealing the event gives: amounts above all, which have one text each."""
    expected = encode_body(
        sealed.event,
        book=sealed.book,
        version=sealed.version,
        event_id=sealed.event_id,
        recorded_at=sealed.recorded_at,
        type_version=sealed.type_version,
    )
    if expected == body:
        return
    is_told = False
    for name, (canonical, actual) in _differing(orjson.loads(expected), orjson.loads(body)):
        is_told = True
        yield _finding(
            version, f"the field {name} of the bytes is not in canonical form", _cut(canonical), _cut(actual)
        )
    if not is_told:
        yield _finding(version, "the bytes are not in canonical form")


def _differing(expected: Any, actual: Any, name: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The innermost fields in which two JSON documents differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys()):
            yield from _differing(expected.get(key), actual.get(key), f"{name}.{key}" if name else key)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            yield from _differing(left, right, f"{name}.{index}")
    elif expected != actual:
        yield name, (expected, actual)


def _cut(value: Any) -> str | None:
    return None if value is None else shown_raw(value)[:_SHOWN_CHARACTERS]


def _finding(version: int | None, detail: str, expected: Any = None, actual: Any = None) -> Finding:
    return Finding(
        LOG_RULES,
        version,
        detail,
        None if expected is None else str(expected),
        None if actual is None else str(actual),
    )
