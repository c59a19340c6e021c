"""Movements of the old database that others have recorded in the book already, found by their transaction hash.

A deposit that somebody injected by hand, with `--tx-hash`, before the import is the same movement as the old row with that
hash, and counts once. Rows that were imported before are not looked up. Each movement in the book matches one row, since two
rows with one hash are two movements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from engine.importers.legacy.events import PREFIX, PlannedEvent
from ledger import store
from ledger.errors import MovementConflict
from ledger.events import Deposit, Withdrawal
from ledger.stored import StoredEvent, json_value
from ledger.texts import normal_tx_hash

_Movement = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class RecordedMovement:
    """An event that is not appended, since others have recorded its movement.

    planned:  the import's event
    stored:   the event in the book
    """

    planned: PlannedEvent
    stored: StoredEvent


def movements_recorded_before(
    connection: Connection, book: str, planned: Sequence[PlannedEvent]
) -> list[RecordedMovement]:
    """The planned movements that the book has under keys other than an import's, in the plan's order.

    Raises MovementConflict, naming the old row, when the book has a movement of that transaction with another amount.
    """
    asked: defaultdict[_Movement, list[PlannedEvent]] = defaultdict(list)
    for item in planned:
        movement = _movement(item)
        if movement is not None:
            asked[movement].append(item)
    found: list[RecordedMovement] = []
    for movement, items in asked.items():
        there = [
            stored
            for stored in store.find_movements(connection, book, *movement)
            if not stored.key.startswith(PREFIX) and store.find_reversal(connection, book, stored.version) is None
        ]
        if there:
            found += _matched(movement, _not_imported(connection, book, items), there)
    return found


def _movement(item: PlannedEvent) -> _Movement | None:
    event = item.event
    if not isinstance(event, Deposit | Withdrawal):
        return None
    tx_hash = normal_tx_hash(event.tx_hash or "")
    return (event.kind, tx_hash, event.asset) if tx_hash else None


def _not_imported(connection: Connection, book: str, items: Sequence[PlannedEvent]) -> list[PlannedEvent]:
    keys = store.find_keys(connection, book, [item.event.key for item in items if item.event.key is not None])
    return [item for item in items if item.event.key not in keys]


def _matched(movement: _Movement, items: Sequence[PlannedEvent], there: list[StoredEvent]) -> list[RecordedMovement]:
    """Match old rows and movements by amount. Raises MovementConflict when both a row and a movement are left over."""
    found: list[RecordedMovement] = []
    others: list[PlannedEvent] = []
    for item in items:
        amount = getattr(item.event, "amount", None)
        same = next((stored for stored in there if _amount(stored) == amount), None)
        if same is None:
            others.append(item)
            continue
        there = [stored for stored in there if stored is not same]
        found.append(RecordedMovement(item, same))
    if others and there:
        amounts = [(stored.version, json_value(_amount(stored))) for stored in there]
        conflict = MovementConflict(*movement, amounts, json_value(getattr(others[0].event, "amount", None)))
        conflict.where = others[0].source
        version = there[0].version
        conflict.advice = (
            f"if version {version} is this movement, reverse it and import again: the old row has its amount"
        )
        raise conflict
    return found


def _amount(stored: StoredEvent) -> object:
    moved = stored.effects.own
    return None if moved is None else moved.delta.copy_abs()
