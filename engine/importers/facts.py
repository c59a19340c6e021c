"""The facts of a row: their stored form, their keys, and the events that they become."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from engine.importers.items import Fact, Movement, Row
from ledger.amounts import amount_text, parse_amount
from ledger.errors import KeyConflict, Refusal, Refused
from ledger.events import Adjustment, Event, Fill, Mark, undeclared
from ledger.idempotency import require_same
from ledger.stored import StoredEvent
from ledger.texts import normal_tx_hash, parse_asset, parse_text
from ledger.times import EPOCH, time_text

_MODELS: Mapping[str, type[Event]] = {"fill": Fill, "adjustment": Adjustment, "mark": Mark}
_FILLED_IN = ("book", "key", "at")
_CONTENT_CHARACTERS = 32
_MOVEMENT_FIELDS = tuple(field.name for field in fields(Movement))
# What one file of a venue says of a trade and another does not.
_DETAILS = frozenset({"order_id", "liquidity", "strategy", "tags", "source_note", "tx_hash"})
_ONE_SECOND = timedelta(seconds=1)
DEPOSIT, WITHDRAWAL = "deposit", "withdrawal"


def encode_facts(facts: tuple[Fact, ...]) -> bytes:
    """Facts as canonical JSON: equal facts have equal bytes."""
    return orjson.dumps([_plain(fact) for fact in facts], option=orjson.OPT_SORT_KEYS)


def _plain(fact: Fact) -> dict[str, Any]:
    if isinstance(fact, Movement):
        given = {name: getattr(fact, name) for name in _MOVEMENT_FIELDS}
        kind = "movement"
    else:
        values = vars(fact)
        given = {name: values[name] for name in fact.model_fields_set if name not in _FILLED_IN}
        kind = fact.kind
    found = {name: _text(value) for name, value in given.items() if value is not None}
    found["type"] = kind
    return found


def _text(value: object) -> object:
    if isinstance(value, Decimal):
        return amount_text(value)
    return time_text(value) if isinstance(value, datetime) else value


def decode_facts(stored: bytes) -> tuple[Fact, ...]:
    """Facts from their JSON. Raises Refused for one that cannot be an event."""
    return tuple(decode_fact(fields) for fields in orjson.loads(stored))


def decode_fact(stored: Mapping[str, Any]) -> Fact:
    """A fact from its stored fields. Raises Refused for one that cannot be an event."""
    kind = stored["type"]
    if kind == "movement":
        given = {name: value for name, value in stored.items() if name != "type"}
        return Movement(**{**given, "amount": Decimal(given["amount"])})
    return _MODELS[kind].model_validate(stored)  # type: ignore[return-value]


def event_from_stored(stored: Mapping[str, Any], key: str, at: datetime) -> Event:
    """The event of a stored fact that is no movement. Raises Refused."""
    return _MODELS[stored["type"]].model_validate({**stored, "key": key, "at": at})


def content_of(row: Row, facts: bytes) -> str:
    """What a row without an id is recognised by: a digest of its time and its facts. `facts`: see `encode_facts`."""
    return hashlib.sha256(time_text(row.at).encode() + facts).hexdigest()[:_CONTENT_CHARACTERS]


def keys_of(row_key: str, at: datetime, stored: Sequence[Mapping[str, Any]]) -> list[str]:
    """The key of each stored fact: that of the row, for further ones with their number; a mark's names source and time."""
    keys = []
    for number, fact in enumerate(stored, 1):
        if fact["type"] == "mark":
            keys.append(f"mark:{fact.get('price_source') or ''}:{fact['asset']}:{_short_time(at)}")
        else:
            keys.append(row_key if number == 1 else f"{row_key}:{number}")
    return keys


def require_alike(event: Event, stored: StoredEvent) -> None:
    """Raises KeyConflict when a row says something else than the event of its key.

    A venue's files differ in detail: one has a trade to the second, another with its fraction, its order and whether it was
    a maker's. What the log does not have is no other content, and neither is another fraction of a second.
    """
    while True:
        try:
            require_same(event, stored)
            return
        except KeyConflict as conflict:
            is_detail = conflict.field in _DETAILS and getattr(stored.event, conflict.field) is None
            is_time = conflict.field == "at" and event.at is not None and abs(event.at - stored.at) < _ONE_SECOND
            if not (is_detail or is_time):
                raise
            event = undeclared(event, conflict.field)


def _short_time(at: datetime) -> str:
    return time_text(at).replace(".000000Z", "Z")


def type_of(movement: Movement) -> str:
    """The type of event that a movement becomes: `deposit` or `withdrawal`."""
    return DEPOSIT if movement.direction == "in" else WITHDRAWAL


def require_sound(movement: Movement) -> None:
    """Raises Refused when a movement cannot become an event: its asset, amount, hash or note."""
    amount = parse_amount(movement.amount)
    if amount <= 0:
        raise Refused(
            Refusal.AMOUNT_MUST_BE_POSITIVE, "amount: must be more than 0", expected="an amount > 0", actual=amount
        )
    parse_asset(movement.asset)
    base, slash, quote = movement.asset.partition("/")
    if slash and base and quote and "/" not in quote:
        raise Refused(Refusal.ASSET_IS_PAIR, f"asset: {movement.asset} is a pair, not an asset", expected="one asset")
    if movement.tx_hash is not None:
        parse_text(movement.tx_hash, characters=200)
        if not normal_tx_hash(movement.tx_hash):
            raise Refused(Refusal.TEXT_EMPTY, "tx_hash: must not be empty")
    parse_text(note_of(movement) or "-", characters=10_000)


def note_of(movement: Movement) -> str | None:
    """The note of a movement's event: the file's words and the venue's reference; None for neither."""
    reference = f"reference {movement.reference}" if movement.reference else None
    return "; ".join(part for part in (movement.source_note, reference) if part) or None


def fields_of(movement: Movement, key: str, at: datetime) -> dict[str, object]:
    """The fields of a movement's event, without its price and basis."""
    given = {
        "asset": movement.asset,
        "amount": movement.amount,
        "tx_hash": movement.tx_hash,
        "source_note": note_of(movement),
        "key": key,
        "at": at,
    }
    return {name: value for name, value in given.items() if value is not None}


def micros(at: datetime) -> int:
    """A UTC time as microseconds since 1970."""
    delta = at - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
