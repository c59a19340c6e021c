"""`export csv`, `export parquet` and `export koinly`: a book as a table, an event a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.cost_basis import standing_events
from engine.exports.choosing import Choice, ChosenEvents, LeftOut
from engine.reports.report import Table
from engine.views import NOW, require_at, view_within
from ledger import store
from ledger.book import Book
from ledger.database.connections import Database
from ledger.effects import Posting
from ledger.stored import StoredEvent, json_value

_DELTAS = ("net_deposits_delta", "basis_delta", "starting_value_delta")
_OF_EVENT = ("side", "order_id", "liquidity", "tags", "group", "price_source", "corrects", "actor", "source_note")
EVENT_COLUMNS = (
    *("version", "at", "recorded_at", "type", "key"),
    *("asset", "asset_delta", "quote_asset", "quote_delta", "fee_asset", "fee_delta", "price"),
    *_DELTAS,
    *("reverses", "reversed_by", "session_id", "strategy", "reason", "tx_hash"),
    *_OF_EVENT,
    *("event_id", "hash"),
)
AMOUNTS = frozenset({"asset_delta", "quote_delta", "fee_delta", "price", *_DELTAS})
TIMES = frozenset({"at", "recorded_at"})
INTEGERS = frozenset({"version", "reverses", "reversed_by", "corrects"})
LISTS = frozenset({"tags"})
KOINLY_COLUMNS = (
    "Date",
    "Sent Amount",
    "Sent Currency",
    "Received Amount",
    "Received Currency",
    "Fee Amount",
    "Fee Currency",
    "Net Worth Amount",
    "Net Worth Currency",
    "Label",
    "Description",
    "TxHash",
)
# What the tax tool calls it: of an adjustment by its reason, first for what came in, then for what went out.
_LABELS = {
    "reward": ("reward", "cost"),
    "funding": ("realized gain", "realized gain"),
    "rebate": ("cashback", "cost"),
    "network_fee": ("fee refund", "cost"),
    "fee": ("fee refund", "cost"),
    "clawback": ("", "lost"),
}


@contextmanager
def event_table(database: Database, book: str, choice: Choice) -> Iterator[tuple[Table, LeftOut]]:
    """The events with what each moved, as a stream that must be read inside the context; and what the filters leave out.

    Raises Refused `book_unknown`, `version_unknown`; StorageError.
    """
    with database.reading() as connection:
        require_at(connection, book, choice.moment)
        reversals = store.reversals(connection, book)
        chosen = ChosenEvents(choice, reversals)
        log = chosen.of(store.read_events(connection, book))
        yield Table(EVENT_COLUMNS, (_row(stored, reversals) for stored in log)), chosen.left


def _row(stored: StoredEvent, reversals: dict[int, int]) -> list[Any]:
    effects, event = stored.effects, vars(stored.event)
    own, quote, fee = (_of(posting) for posting in (effects.own, effects.quote, effects.fee))
    return [
        *(stored.version, stored.at, stored.recorded_at, stored.type, stored.key),
        *(stored.asset, own[1], *quote, *fee, stored.price),
        *(getattr(effects, name) for name in _DELTAS),
        *(stored.reverses, reversals.get(stored.version), stored.session_id, stored.strategy, stored.reason),
        stored.tx_hash,
        *(json_value(event.get(name)) for name in _OF_EVENT),
        *(stored.event_id, stored.hash.hex()),
    ]


def _of(posting: Posting | None) -> tuple[str | None, Decimal | None]:
    return (None, None) if posting is None else (posting.asset, posting.delta)


def koinly_table(database: Database, name: str, *, now: datetime) -> Table:
    """What stands of a book, in the columns that tax tools take; a row for each fill, movement and adjustment.

    A rebate is a row of its own, since a fee cannot be negative there. Raises Refused `book_unknown`; StorageError.
    """
    with database.reading() as connection:
        book = view_within(connection, name, NOW, now=now).book
        found = standing_events(connection, [name], NOW, now=now)
    return Table(KOINLY_COLUMNS, [row for stored in found for row in _koinly_rows(stored, book)])


def _koinly_rows(stored: StoredEvent, book: Book) -> Iterator[list[Any]]:
    effects = stored.effects
    if effects.own is None:
        return
    fee = effects.fee
    paid = fee if fee is not None and fee.delta < 0 else None
    yield _koinly_row(stored, [effects.own, effects.quote], paid, _worth(stored, book), _label(stored))
    if fee is not None and fee.delta > 0:
        yield _koinly_row(stored, [fee], None, (None, None), _LABELS["rebate"][0])


def _koinly_row(
    stored: StoredEvent,
    moved: list[Posting | None],
    fee: Posting | None,
    worth: tuple[Decimal | None, str | None],
    label: str,
) -> list[Any]:
    sent = next((each for each in moved if each is not None and each.delta < 0), None)
    received = next((each for each in moved if each is not None and each.delta > 0), None)
    return [
        f"{stored.at.replace(tzinfo=None).isoformat(' ', 'seconds')} UTC",
        *_size(sent),
        *_size(received),
        *_size(fee),
        *worth,
        label or None,
        stored.event.source_note or stored.key,
        stored.tx_hash,
    ]


def _size(posting: Posting | None) -> tuple[Decimal | None, str | None]:
    return (None, None) if posting is None else (posting.delta.copy_abs(), posting.asset)


def _worth(stored: StoredEvent, book: Book) -> tuple[Decimal | None, str | None]:
    """The worth of what moved, as far as the event itself says it: a movement's value, a fill's side in the numeraire."""
    if stored.type in ("deposit", "withdrawal"):
        return stored.effects.net_deposits_delta.copy_abs(), book.numeraire
    sides = [each for each in (stored.effects.own, stored.effects.quote) if each is not None]
    own = next((each for each in sides if each.asset == book.numeraire), None)
    return (None, None) if own is None or stored.type != "fill" else (own.delta.copy_abs(), book.numeraire)


def _label(stored: StoredEvent) -> str:
    if stored.type != "adjustment" or stored.effects.own is None:
        return ""
    came_in, went_out = _LABELS.get(stored.reason or "", ("", ""))
    return came_in if stored.effects.own.delta > 0 else went_out
