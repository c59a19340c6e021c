"""The codec between stored events and rows of the table `events`; the only one."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import LargeBinary, Row, String, Table
from sqlalchemy.types import TypeEngine

from ledger.database.columns import ExactDecimal, UtcTime, unreadable
from ledger.database.tables import events
from ledger.effects import Effects, Posting
from ledger.events import TRANSFER, Event
from ledger.stored import StoredEvent
from ledger.texts import normal_tx_hash

_Types = tuple[type, ...]
# Combinations of column types that were checked already, so that checking a row costs one lookup. There are few of them.
_SOUND: set[tuple[str, _Types]] = set()
_NAMES = tuple(column.name for column in events.columns)


def stored_event(
    event: Event,
    effects: Effects,
    *,
    book: str,
    version: int,
    event_id: str,
    recorded_at: Any,
    body: bytes,
    digest: bytes,
    reversed_event: StoredEvent | None,
) -> StoredEvent:
    """The stored form of a completed event. `digest`: its hash.

    `reversed_event`: the event that a reversal reverses, which its asset, price, reason and strategy come from; else None.
    """
    assert event.key is not None
    assert event.at is not None
    fields = vars(event)
    asset, price = fields.get("asset"), fields.get("price")
    reason, strategy = fields.get("reason"), fields.get("strategy")
    if fields.get("transfer") is not None:
        reason = TRANSFER
    if reversed_event is not None:
        asset, price = reversed_event.asset, reversed_event.price
        reason, strategy = reversed_event.reason, reversed_event.strategy
    elif event.kind == "reversal":  # its own reason says why it reverses; the column has the reversed event's
        reason = None
    return StoredEvent(
        book=book,
        version=version,
        event_id=event_id,
        key=event.key,
        type=event.kind,
        at=event.at,
        recorded_at=recorded_at,
        session_id=event.session_id,
        asset=asset or (effects.own.asset if effects.own else None),
        price=price,
        reverses=fields.get("reverses"),
        effects=effects,
        body=body,
        hash=digest,
        tx_hash=normal_tx_hash(event.tx_hash or "") or None,
        reason=reason,
        strategy=strategy,
    )


def encode_row(stored: StoredEvent) -> dict[str, object]:
    """A stored event as a row of `events`, by column."""
    return dict(zip(_NAMES, row_values(stored), strict=True))


def row_values(stored: StoredEvent) -> list[object]:
    """A stored event as a row of `events`: its values in the order of the columns."""
    effects = stored.effects
    own, quote, fee = effects.own, effects.quote, effects.fee
    return [
        stored.book,
        stored.version,
        stored.event_id,
        stored.key,
        stored.type,
        stored.at,
        stored.recorded_at,
        stored.session_id,
        stored.reverses,
        effects.effect_of,
        stored.asset,
        own.delta if own else None,
        quote.asset if quote else None,
        quote.delta if quote else None,
        fee.asset if fee else None,
        fee.delta if fee else None,
        stored.price,
        effects.net_deposits_delta,
        effects.basis_delta,
        effects.starting_value_delta,
        effects.unknown_fees,
        effects.unknown_bases,
        stored.body,
        stored.hash,
        stored.tx_hash,
        stored.reason,
        stored.strategy,
    ]


def decode_row(row: Row[Any]) -> StoredEvent:
    """A row of `events` as a stored event; it must have all columns in the table's order.

    Raises StorageError `event_unreadable`.
    """
    require_sound(row, events)
    book, version, event_id, key, kind, at, recorded_at, session_id, reverses, *moves = tuple(row)
    *moves, body, digest, tx_hash, reason, strategy = moves
    effect_of, asset, asset_delta, quote_asset, quote_delta, fee_asset, fee_delta, price, *deltas_and_counts = moves
    effects = Effects(
        effect_of,
        _posting(asset, asset_delta),
        _posting(quote_asset, quote_delta),
        _posting(fee_asset, fee_delta),
        *deltas_and_counts,
    )
    return StoredEvent(
        book=book,
        version=version,
        event_id=event_id,
        key=key,
        type=kind,
        at=at,
        recorded_at=recorded_at,
        session_id=session_id,
        asset=asset,
        price=price,
        reverses=reverses,
        effects=effects,
        body=body,
        hash=digest,
        tx_hash=tx_hash,
        reason=reason,
        strategy=strategy,
    )


def require_sound(row: Row[Any], table: Table) -> None:
    """Raises StorageError `event_unreadable` when a column holds a value of the wrong type.

    SQLite does not enforce column types: another program may have stored text as an integer, or bytes as text.
    """
    types: _Types = tuple(map(type, row))
    if (table.name, types) in _SOUND:
        return
    for column, value in zip(table.columns, row, strict=True):
        expected = _python_type(column.type)
        if type(value) is not expected and not (value is None and column.nullable):
            raise unreadable(f"{column.name} of type {expected.__name__}", value)
    _SOUND.add((table.name, types))


def _python_type(column_type: TypeEngine[Any]) -> type:
    match column_type:
        case ExactDecimal():
            return Decimal
        case UtcTime():
            return datetime
        case LargeBinary():
            return bytes
        case String():
            return str
        case _:
            return int


def _posting(asset: str | None, delta: Decimal | None) -> Posting | None:
    return None if asset is None or delta is None else Posting(asset, delta)
