"""A recorded event, its canonical bytes (`encode_body`, `decode_body`) and its hash.

The body is the whole event as canonical JSON: ASCII field names, sorted; decimals, times and texts as canonical strings;
integers below 2^53; null fields left out. With ASCII names this is RFC 8785 (JCS). An event's hash is SHA-256(hash of
its predecessor ‖ body); the first predecessor is 32 zero bytes. `type` includes the version of the type (`fill/2`): an
event is written in the newest version, and read from any (`ledger.upcasting`).

    {"amount":"85","asset":"RLUSD","at":"2026-01-05T09:00:00.000000Z",…,"type":"deposit/1","version":3}
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import orjson
from pydantic import BaseModel

from ledger.amounts import amount_text
from ledger.effects import Effects
from ledger.errors import NetbasisError, StorageError, StorageFault
from ledger.events import EVENT_TYPES, Event, event_from
from ledger.times import parse_time, time_text
from ledger.upcasting import upcast

_ENVELOPE = ("book", "version", "event_id", "recorded_at")


@dataclass(frozen=True, slots=True)
class DecodedBody:
    """What a body holds.

    book, version, event_id:  the event's place in the log
    recorded_at:              when the log took it, UTC
    event:                    the completed event, in the newest version of its type
    type_version:             the version of the type that the bytes are in
    """

    book: str
    version: int
    event_id: str
    recorded_at: datetime
    event: Event
    type_version: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A recorded event as the log holds it.

    Asset, price, reason and strategy of a reversal are those of the event that it reverses, so that sums by them are right.

    book:         the book's name
    version:      its place in its book, from 1
    event_id:     unique in the whole world (a UUID)
    key:          idempotency key, unique in the book
    type:         the event type, such as `fill`
    at:           when it happened, UTC
    recorded_at:  when the log took it, UTC
    session_id:   the bot's run; None when it was not given
    asset:        the event's own asset (of a fill: the base asset); None for types without one
    price:        of a mark, deposit or withdrawal, in the numeraire; None when it has none
    reverses:     of a reversal, the version that it reverses; None for other types
    effects:      what it moves
    body:         the canonical bytes
    hash:         SHA-256, 32 bytes
    tx_hash:      normalised; None when it was not given
    reason:       of an adjustment or a baseline; `transfer` of a transfer's sides; None for other types, and when not given
    strategy:     of a fill; None for other types, and when it was not given
    """

    book: str
    version: int
    event_id: str
    key: str
    type: str
    at: datetime
    recorded_at: datetime
    session_id: str | None
    asset: str | None
    price: Decimal | None
    reverses: int | None
    effects: Effects
    body: bytes
    hash: bytes
    tx_hash: str | None
    reason: str | None
    strategy: str | None

    @property
    def event(self) -> Event:
        """The event, decoded from the body each time: folds rarely need it."""
        return decode_body(self.body).event


def encode_body(
    event: Event, *, book: str, version: int, event_id: str, recorded_at: datetime, type_version: int | None = None
) -> bytes:
    """The canonical bytes of a completed event. `type_version`: None for the newest version of its type."""
    fields = _plain(event)
    fields["type"] = f"{event.kind}/{type_version or event.TYPE_VERSION}"
    fields |= {"book": book, "version": version, "event_id": event_id, "recorded_at": time_text(recorded_at)}
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def decode_body(body: bytes) -> DecodedBody:
    """What canonical bytes hold. Raises StorageError `event_unreadable` for bytes that `encode_body` did not write."""
    try:
        fields = orjson.loads(body)
        envelope = {name: fields.pop(name) for name in _ENVELOPE}
        kind, type_version = split_type(fields["type"])
        if not 1 <= type_version <= EVENT_TYPES[kind].TYPE_VERSION:
            raise _unreadable(body, f"this netbasis does not know the type {fields['type']}")
        fields = upcast(kind, type_version, fields)
        event = event_from(fields | {"type": kind, "book": envelope["book"]})
        recorded_at = parse_time(envelope["recorded_at"])
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NetbasisError) as error:
        raise _unreadable(body, str(error)) from error
    return DecodedBody(envelope["book"], envelope["version"], envelope["event_id"], recorded_at, event, type_version)


def split_type(text: str) -> tuple[str, int]:
    """The type and its version, from a text such as `fill/2`. Raises ValueError for any other text."""
    kind, _, version = text.rpartition("/")
    if not version.isascii() or not version.isdecimal() or str(int(version)) != version:
        raise ValueError(f"not a type and its version: {text!r}")
    return kind, int(version)


def _unreadable(body: bytes, why: str) -> StorageError:
    return StorageError(
        StorageFault.EVENT_UNREADABLE,
        f"the bytes of an event cannot be read: {why}",
        actual=body[:200].decode("utf-8", "replace"),
        advice="run `netbasis check`, and restore the file from a backup",
    )


def chain_hash(previous: bytes, body: bytes) -> bytes:
    """SHA-256 of the predecessor's hash and the body."""
    return hashlib.sha256(previous + body).digest()


def _plain(model: BaseModel) -> dict[str, object]:
    """A model's fields by name, as in canonical JSON, without those that are None."""
    return {
        name: field if type(field) is str else json_value(field)
        for name, field in vars(model).items()
        if field is not None
    }


def json_value(field: object) -> object:
    """A field's value in canonical JSON: decimals and times as texts; texts, integers and flags unchanged."""
    if isinstance(field, Decimal):
        return amount_text(field)
    if isinstance(field, datetime):
        return time_text(field)
    if isinstance(field, BaseModel):
        return _plain(field)
    if isinstance(field, tuple):
        return [json_value(item) for item in field]
    return field
