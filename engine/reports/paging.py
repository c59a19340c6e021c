"""A page of the register, newest first, found by version: what it costs does not depend on how long the log is.

A search looks through at most `SEARCHED` versions at a time and says where it stopped. Running balances are counted from
the nearest place where they are known: the beginning, the head, or an anchor of a kept history. Where more than
`COUNTED` events lie between, they are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from engine.projection_store import load_rows, stored_state
from engine.reports.history import BEGINNING, Anchor, postings_of
from engine.views import Moment, RegisterFilter, require_at
from ledger import store
from ledger.amounts import ZERO, add, subtract
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.mapper import decode_row
from ledger.stored import StoredEvent
from projections.register import RegisterRow, register_rows

SEARCHED = 200_000
COUNTED = 20_000
_MOVES = or_(events.c.asset_delta.is_not(None), events.c.quote_delta.is_not(None), events.c.fee_delta.is_not(None))
_DELTAS = (
    events.c.version,
    events.c.asset,
    events.c.asset_delta,
    events.c.quote_asset,
    events.c.quote_delta,
    events.c.fee_asset,
    events.c.fee_delta,
    events.c.starting_value_delta,
)


@dataclass(frozen=True, slots=True)
class PageChoice:
    """Which page of a register.

    moment:  which events count
    chosen:  which of them are shown; a type of None: those that move a balance
    every:   whether those that move none are shown, too
    text:    only events whose bytes have this text, case and all; None for any
    before:  the page ends before this version; None for the newest page
    after:   the page begins after this version, instead of `before`; None for none
    events:  how many events a page has
    """

    moment: Moment
    chosen: RegisterFilter
    every: bool = False
    text: str | None = None
    before: int | None = None
    after: int | None = None
    events: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a register.

    rows:        newest first; without running balances when `is_counted` is False
    older:       the next page is the one before this version; None at the beginning of the log
    newer:       the page before is the one after this version; None at the end of the log
    searched:    the first and the last version that were looked through
    """

    book: Book
    head: Head
    rows: Sequence[RegisterRow]
    is_counted: bool
    older: int | None
    newer: int | None
    searched: tuple[int, int]


def register_page(database: Database, name: str, wanted: PageChoice, anchors: Sequence[Anchor] = (BEGINNING,)) -> Page:
    """A page of a book's register. `anchors`: of its history at present, in order. Raises as `engine.views.view_at`."""
    with database.reading() as connection:
        book, head = require_at(connection, name, wanted.moment)
        end = wanted.moment.version_of(head)
        first, last = _searched(wanted, end)
        found, is_full = _find(connection, name, wanted, first, last)
        if is_full and wanted.after is None:
            first = found[-1].version
        elif is_full:
            last = found[0].version
        running = _before(connection, book, head, wanted.moment, _span(found), anchors)
        rows = list(_rows(connection, name, wanted, found, running))
    rows.reverse()
    older, newer = first if first > 1 else None, last if last < end else None
    return Page(book, head, rows, running is not None, older, newer, (first, last))


def _searched(wanted: PageChoice, end: int) -> tuple[int, int]:
    """The first and the last version to look through."""
    if wanted.after is not None:
        first = min(max(wanted.after, 0), end) + 1
        return first, min(end, first + SEARCHED - 1)
    last = end if wanted.before is None else max(min(wanted.before - 1, end), 0)
    return max(1, last - SEARCHED + 1), last


def _find(
    connection: Connection, name: str, wanted: PageChoice, first: int, last: int
) -> tuple[list[StoredEvent], bool]:
    """The events of the page, newest first, and whether there are as many as a page has."""
    between = events.c.version.between(first, last)
    query = select(events).where(events.c.book == name, between, *_conditions(connection, wanted))
    order = events.c.version.desc() if wanted.after is None else events.c.version
    found = [decode_row(row) for row in connection.execute(query.order_by(order).limit(wanted.events))]
    if wanted.after is not None:
        found.reverse()
    return found, len(found) == wanted.events


def _conditions(connection: Connection, wanted: PageChoice) -> Iterator[ColumnElement[bool]]:
    chosen = wanted.chosen
    yield wanted.moment.condition()
    if chosen.type is not None:
        yield events.c.type == chosen.type
    elif not wanted.every:
        yield _MOVES
    if chosen.asset is not None:
        yield or_(*(column == chosen.asset for column in (events.c.asset, events.c.quote_asset, events.c.fee_asset)))
    if chosen.session is not None:
        yield events.c.session_id == chosen.session
    if chosen.strategy is not None:
        yield events.c.strategy == chosen.strategy
    if chosen.start is not None:
        yield events.c.at >= chosen.start
    if chosen.end is not None:
        yield events.c.at < chosen.end
    if wanted.text is not None:
        yield bytes_have(connection, wanted.text)


def bytes_have(connection: Connection, text: str) -> ColumnElement[bool]:
    """Whether an event's bytes have a text, as canonical JSON writes it; a condition on `events`."""
    return store.body_has(connection, orjson.dumps(text)[1:-1])


def _span(found: Sequence[StoredEvent]) -> tuple[int, int] | None:
    return (found[-1].version, found[0].version) if found else None


def _before(
    connection: Connection,
    book: Book,
    head: Head,
    moment: Moment,
    span: tuple[int, int] | None,
    anchors: Sequence[Anchor],
) -> Anchor | None:
    """The running figures before the first event of a page; None when they are too far from where they are known."""
    if span is None:
        return BEGINNING
    first, last = span
    if last - first >= COUNTED:
        return None
    chooses_by_time = (
        moment.known_at is not None or moment.before is not None or not isinstance(moment.as_of, int | None)
    )
    if chooses_by_time:
        anchors = (BEGINNING,)
    anchor = max((each for each in anchors if each.version < first), key=lambda each: each.version, default=BEGINNING)
    if first - anchor.version <= COUNTED:
        return _moved(anchor, _deltas(connection, book.name, moment, anchor.version, first - 1), first - 1, add)
    if chooses_by_time or head.version - first >= COUNTED:
        return None
    state = stored_state(load_rows(connection, book.name), book, head)
    balances = {asset: holding.total for asset, holding in state.inventory.items()}
    at_head = Anchor(head.version, balances, state.engine_state.starting_value)
    return _moved(at_head, _deltas(connection, book.name, Moment(), first - 1, head.version), first - 1, subtract)


def _deltas(connection: Connection, name: str, moment: Moment, after: int, until: int) -> Iterable[Row[Any]]:
    query: Select[Any] = select(*_DELTAS).where(
        events.c.book == name, events.c.version > after, events.c.version <= until, moment.condition()
    )
    return store.stream(connection, query.order_by(events.c.version))


def _moved(anchor: Anchor, rows: Iterable[Row[Any]], version: int, change: Any) -> Anchor:
    balances, starting_value = dict(anchor.balances), anchor.starting_value
    for row in rows:
        for asset, delta in postings_of(row):
            balances[asset] = change(balances.get(asset, ZERO), delta)
        starting_value = change(starting_value, row.starting_value_delta)
    return Anchor(version, balances, starting_value)


def _rows(
    connection: Connection, name: str, wanted: PageChoice, found: Sequence[StoredEvent], running: Anchor | None
) -> Iterator[RegisterRow]:
    """The rows of the events of a page, oldest first; the events between them only move the running figures."""
    reversals = _reversals(connection, name, wanted.moment, [stored.version for stored in found])
    shown = {stored.version: stored for stored in found}
    span = _span(found)
    if span is None:
        return
    if running is None:
        for row in register_rows(reversed(found), reversals):
            if wanted.chosen.asset in (None, row.asset):
                yield replace(row, balance=None, starting_value=None)
        return
    balances, starting_value = dict(running.balances), running.starting_value
    for step in _deltas(connection, name, wanted.moment, span[0] - 1, span[1]):
        stored = shown.get(step.version)
        if stored is None:
            for asset, delta in postings_of(step):
                balances[asset] = add(balances.get(asset, ZERO), delta)
            starting_value = add(starting_value, step.starting_value_delta)
            continue
        rows = register_rows([stored], reversals, balances=balances, starting_value=starting_value)
        yield from (row for row in rows if wanted.chosen.asset in (None, row.asset))
        starting_value = add(starting_value, stored.effects.starting_value_delta)


def _reversals(connection: Connection, name: str, moment: Moment, versions: Sequence[int]) -> Mapping[int, int]:
    if not versions:
        return {}
    return store.reversals(connection, name, where=and_(events.c.reverses.in_(versions), moment.condition()))
