"""Idempotency: finding out whether an event is already in the book, by its key or by its transaction hash.

    deposit 70 RLUSD, tx_hash FEED, no key       gets the key FEED:deposit:RLUSD
    the same again                               exists
    75 RLUSD, tx_hash feed                       exists_with_different_amount
    70 RLUSD, tx_hash FEED, key mine:1           a second movement of that transaction: appended
    the same, corrects 4                         gets the key of a correction, FEED:deposit:RLUSD#2: appended

A movement (deposit or withdrawal) with a hash and no key is also compared with standing events of the same hash, type and
asset under other keys, such as those of an import. A correction is looked up by its own key only, since it has the hash
of the event that it replaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from ledger import store
from ledger.errors import ExistsReversed, KeyConflict, MovementConflict, Refusal, Refused
from ledger.events import Deposit, Event, Opened, Withdrawal
from ledger.stored import StoredEvent, decode_body, json_value
from ledger.texts import KEY_CHARACTERS, normal_tx_hash

OPENED_KEY = "opened"
_MovementOf = tuple[str, str, str]  # type, normalised hash, asset
# Fields that netbasis fills in when they are None, so a given None means the default.
_FILLED_IN = frozenset({"book", "at", "key", "asset", "amount", "basis_delta"})


class EventLookup(Protocol):
    """Lookups in a book's log: as the database holds it, or with the events that a transaction is about to write."""

    def find(self, version: int) -> StoredEvent | None:
        """The event at a version."""

    def find_key(self, key: str) -> StoredEvent | None:
        """The event with a key."""

    def find_movements(self, kind: str, tx_hash: str, asset: str) -> Sequence[StoredEvent]:
        """The events of a type, a normalised hash and an asset, in order."""

    def reversal_of(self, version: int) -> int | None:
        """The version that reverses an event; None while the event stands."""


class StoredLog:
    """A book's log as the database holds it."""

    def __init__(self, connection: Connection, book: str) -> None:
        self._connection = connection
        self._book = book

    def find(self, version: int) -> StoredEvent | None:
        return store.find_event(self._connection, self._book, version)

    def find_key(self, key: str) -> StoredEvent | None:
        return store.find_keys(self._connection, self._book, [key]).get(key)

    def find_movements(self, kind: str, tx_hash: str, asset: str) -> Sequence[StoredEvent]:
        return store.find_movements(self._connection, self._book, kind, tx_hash, asset)

    def reversal_of(self, version: int) -> int | None:
        return store.find_reversal(self._connection, self._book, version)


def find_duplicate(given: Event, log: EventLookup, *, refuse_reversed: bool = False) -> StoredEvent | None:
    """The stored event that `given` duplicates; None when `given` is new.

    `refuse_reversed`: raise ExistsReversed when that event was reversed, for a single command: a person would take
    "exists" for "counts". Raises KeyConflict when the key is in the book with different content; MovementConflict when the
    movement is in the book under another key with another amount; Refused `text_too_long`.
    """
    key = given.key or default_key(given, log)
    there = log.find_key(key) if key is not None else None
    movement = _movement(given)
    if movement is not None:
        elsewhere = _elsewhere(given, movement, there, log, refuse_reversed=refuse_reversed)
        if elsewhere is not None:
            return elsewhere
    if there is None:
        return None
    if refuse_reversed and (reversal := log.reversal_of(there.version)) is not None:
        raise ExistsReversed(there.key, there.version, reversal)
    require_same(given, there)
    return there


def _elsewhere(
    given: Event, movement: _MovementOf, there: StoredEvent | None, log: EventLookup, *, refuse_reversed: bool
) -> StoredEvent | None:
    """A standing movement of the same transaction and amount that is in the book under another key.

    `there`: the event in the book with the given event's own key; None for none. Returns None when there is no such
    movement, or when `there` is the one to compare with. Raises MovementConflict.
    """
    amount = getattr(given, "amount", None)
    standing = [stored for stored in log.find_movements(*movement) if log.reversal_of(stored.version) is None]
    same = [stored for stored in standing if _amount(stored) == amount]
    own = None if there is None else there.version
    if same:
        return None if any(stored.version == own for stored in same) else same[0]
    if all(stored.version == own for stored in standing):
        return None
    is_reversed = there is not None and log.reversal_of(there.version) is not None
    if there is not None and is_reversed and (refuse_reversed or _amount(there) == amount):
        return None  # a line of a file that was appended, then reversed and corrected, counts as existing
    raise MovementConflict(
        *movement, [(stored.version, json_value(_amount(stored))) for stored in standing], json_value(amount)
    )


def default_key(event: Event, log: EventLookup) -> str | None:
    """The key of an event that was given none; None when its event id will be its key.

    Raises Refused `text_too_long`.
    """
    if isinstance(event, Opened):
        return OPENED_KEY
    if event.corrects is not None:
        corrected = log.find(event.corrects)
        return None if corrected is None else _fitting(next_key(corrected), "of the correction")
    movement = _movement(event)
    if movement is None:
        return None
    kind, tx_hash, asset = movement
    return _fitting(f"{tx_hash}:{kind}:{asset}", "that its tx_hash gives it")


def _movement(event: Event) -> _MovementOf | None:
    """What identifies a movement that was given no key; None for corrections and for any other event."""
    return None if event.key is not None or event.corrects is not None else _of_transaction(event)


def _of_transaction(event: Event) -> _MovementOf | None:
    """Type, normalised hash and asset of a movement that has a hash; None for any other event."""
    if not isinstance(event, Deposit | Withdrawal):
        return None
    tx_hash = normal_tx_hash(event.tx_hash or "")
    return (event.kind, tx_hash, event.asset) if tx_hash else None


def _amount(stored: StoredEvent) -> object:
    moved = stored.effects.own
    return None if moved is None else moved.delta.copy_abs()


def _fitting(key: str, whose: str) -> str:
    if len(key) > KEY_CHARACTERS:
        raise Refused(
            Refusal.TEXT_TOO_LONG,
            f"key: the key {whose} is too long",
            expected=f"at most {KEY_CHARACTERS} characters",
            actual=key,
            advice="give it a key of its own",
            field="key",
        )
    return key


def has_key(event: Event) -> bool:
    """Whether the event is recognised when it is appended again: by its key, by a transaction hash, or as the opening."""
    return event.key is not None or isinstance(event, Opened) or _of_transaction(event) is not None


def next_key(corrected: StoredEvent) -> str:
    """The default key of a correction: `<old key>#2`, and `#3` for the correction of that one."""
    base, mark, count = corrected.key.rpartition("#")
    if corrected.event.corrects is not None and mark and count.isdecimal():
        return f"{base}#{int(count) + 1}"
    return f"{corrected.key}#2"


def require_same(given: Event, stored: StoredEvent) -> None:
    """Raises KeyConflict when a field that the caller gave differs from the stored event.

    Not compared: fields left to default, and fields that the stored version of the type does not have. Transaction hashes
    are normalised first.
    """
    if given.kind != stored.type:
        raise KeyConflict(stored.key, stored.version, "type", stored.type, given.kind)
    sealed = decode_body(stored.body)
    for name in type(given).model_fields:
        given_value = getattr(given, name)
        if name not in given.model_fields_set or (given_value is None and name in _FILLED_IN):
            continue
        if given.FIELD_SINCE.get(name, 1) > sealed.type_version:
            continue
        stored_value = getattr(sealed.event, name)
        if _comparable(name, given_value) != _comparable(name, stored_value):
            conflict = KeyConflict(stored.key, stored.version, name, json_value(stored_value), json_value(given_value))
            if isinstance(given, Opened):
                conflict.advice = "the terms of a book never change: give the events to a book that was opened on these"
            raise conflict


def _comparable(name: str, value: object) -> object:
    if name == "tx_hash":
        return normal_tx_hash(value) if isinstance(value, str) else ""
    return json_value(value)
