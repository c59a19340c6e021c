"""A recorded event, its canonical bytes and its hash.

The body is the whole event as canonical JSON: ASCII field names, sorted; decimals, times and texts as canonical strings;
whole numbers below 2^53; a field that is null is left out. With ASCII names this is RFC 8785 (JCS). The hash of an event
is SHA-256(hash of its predecessor ‖ body), and the first predecessor is 32 zero bytes. `type` carries the version of the
type (`fill/2`), so that a later form can stand beside an earlier one: an event is written in the newest form, and read from
any (`ledger.upcasting`).

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
    """A body read back: the event, completed and in the newest form of its type, and its envelope.

    `type_version`: the version of the type that the bytes are in.
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

    `version`: its place in its book, from 1. `key`, `at`: as recorded, never None. `asset`, `price`: the event's own (a
    fill's base asset). `reverses`: the version a reversal reverses, else None. `body`: the canonical bytes. `hash`: 32
    bytes. `tx_hash`: normalised, None for none. `reason`: an adjustment's or a baseline's. `strategy`: a fill's. Asset,
    price, reason and strategy of a reversal are those of the event that it reverses, so that sums by them come out right.
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
        """The event's fields, read from the body (not kept: a fold seldom needs them)."""
        return decode_body(self.body).event


def encode_body(
    event: Event, *, book: str, version: int, event_id: str, recorded_at: datetime, type_version: int | None = None
) -> bytes:
    """The canonical bytes of a completed event, in the newest form of its type or in an earlier one."""
    fields = _plain(event)
    fields["type"] = f"{event.kind}/{type_version or event.TYPE_VERSION}"
    fields |= {"book": book, "version": version, "event_id": event_id, "recorded_at": time_text(recorded_at)}
    return orjson.dumps(fields, default=json_value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME)


def decode_body(body: bytes) -> DecodedBody:
    """The event that canonical bytes hold.

    Raises StorageError `event_unreadable` when they are not what `encode_body` wrote.
    """
    try:
        fields = orjson.loads(body)
        envelope = {name: fields.pop(name) for name in _ENVELOPE}
        kind, type_version = split_type(fields["type"])
        if not 1 <= type_version <= EVENT_TYPES[kind].TYPE_VERSION:
            raise _unreadable(body, f"the type {fields['type']} is of another netbasis")
        fields = upcast(kind, type_version, fields)
        event = event_from(fields | {"type": kind, "book": envelope["book"]})
        recorded_at = parse_time(envelope["recorded_at"])
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NetbasisError) as error:
        raise _unreadable(body, str(error)) from error
    return DecodedBody(envelope["book"], envelope["version"], envelope["event_id"], recorded_at, event, type_version)


def split_type(text: str) -> tuple[str, int]:
    """The type and its version, of a text such as `fill/2`. Raises ValueError for another text."""
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
    """The fields that are not null; null fields are left out."""
    return {name: field for name, field in vars(model).items() if field is not None}


def json_value(field: object) -> object:
    """A field of an event as the canonical JSON has it; a text or a number is what it is."""
    if isinstance(field, Decimal):
        return amount_text(field)
    if isinstance(field, datetime):
        return time_text(field)
    if isinstance(field, BaseModel):
        return {name: json_value(value) for name, value in _plain(field).items()}
    if isinstance(field, tuple):
        return [json_value(item) for item in field]
    return field
