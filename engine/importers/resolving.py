"""Settling an entry of the inbox: a person gives what was missing, or dismisses it.

What the import has come to is recorded at once; what it has not is answered, and the next import of the file records it when
its turn comes, so that a withdrawal is classified where it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Literal

import orjson

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.importers.deciding import Answer, Decider, How, Waits
from engine.importers.facts import decode_fact, event_from_stored, keys_of
from engine.importers.items import Movement
from engine.importers.pricing import Known
from engine.inbox import Entry
from engine.retrying import always, retry
from engine.transaction import Transaction
from ledger.errors import Refusal
from ledger.events import Adjustment, Event
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from ledger.texts import parse_text

As = Literal["deposit", "withdrawal", "adjustment"]
RECONCILIATION = "reconciliation"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of an entry.

    entry:   as it stands now
    stored:  the event that it became; None when it was only answered, or dismissed
    """

    entry: Entry
    stored: StoredEvent | None


def resolve(
    keeper: Bookkeeper,
    name: str,
    number: int,
    answer: Answer,
    *,
    named: As | None = None,
    at: datetime | None = None,
) -> Resolution:
    """Record an entry of the inbox with what a person gives, or keep the answer for the import that comes to it.

    `named`, `at`: what a difference is, and when it happened; for proposals only. Raises Refused `inbox_entry_unknown`,
    `inbox_entry_settled`, `inbox_answer_mismatch`, and what recording a deposit or withdrawal raises; StorageError.
    """
    return retry(partial(_resolve, keeper, name, number, answer, named, at), safe_to_repeat=always)


def _resolve(
    keeper: Bookkeeper, name: str, number: int, answer: Answer, named: As | None, at: datetime | None
) -> Resolution:
    with keeper.transaction(name) as transaction:
        entry = inbox.require_entry(transaction.connection, name, number)
        _require_fitting(entry, named, at)
        if entry.sort == "movement" and not entry.is_reached:
            answered = replace(entry, status="answered", answer=answer.text(), actor=answer.actor)
            inbox.save(transaction.connection, name, answered)
            return Resolution(answered, None)
        key = _key_of(entry)
        events = _events_of(keeper, transaction, entry, answer, named, at)
        for _ in transaction.append_all(events):
            pass
        stored = transaction.find_key(key)
        assert stored is not None
        settled = replace(
            entry,
            status="resolved",
            type=stored.type,
            at=stored.at,
            version=stored.version,
            settled_at=keeper.now(),
            actor=answer.actor,
        )
        inbox.save(transaction.connection, name, settled)
        return Resolution(settled, stored)


def _require_fitting(entry: Entry, named: As | None, at: datetime | None) -> None:
    """Raises Refused `inbox_answer_mismatch` when the entry is of a sort that needs another answer."""
    if entry.sort == "held":
        refuse(
            Refusal.INBOX_ANSWER_MISMATCH,
            number=entry.id,
            why="it stands for rows that are held back",
            what="resolve the movement that they wait behind, and import the files again",
        )
    if entry.sort == "proposal" and (named is None or at is None):
        refuse(
            Refusal.INBOX_ANSWER_MISMATCH,
            number=entry.id,
            why="it is a difference, and nobody has said what it is",
            what="give --as deposit, withdrawal or adjustment, and --at",
        )
    if entry.sort == "movement" and (named is not None or at is not None):
        refuse(
            Refusal.INBOX_ANSWER_MISMATCH,
            number=entry.id,
            why="the file says what it is and when it happened",
            what="leave out --as and --at",
        )


def _key_of(entry: Entry) -> str:
    """The key of the entry's own event."""
    if entry.facts is None:
        return entry.key
    facts = orjson.loads(entry.facts)
    place = next(number for number, fact in enumerate(facts) if fact["type"] == "movement")
    return keys_of(entry.key, entry.at, facts)[place]


def _events_of(
    keeper: Bookkeeper,
    transaction: Transaction,
    entry: Entry,
    answer: Answer,
    named: As | None,
    at: datetime | None,
) -> list[Event]:
    """The events of an entry, marks first. Raises Refused."""
    known = Known.of_book(transaction.connection, transaction.book.name, keeper.now())
    decider = Decider(transaction, known, How(), keeper.now())
    others = inbox.waiting(transaction.connection, transaction.book.name)
    decider.pending = max(0, others.movements + others.held - (entry.sort == "movement"))
    if entry.facts is None:
        return _of_difference(decider, entry, answer, named, at)
    facts = orjson.loads(entry.facts)
    events: list[Event] = []
    for fact, key in zip(facts, keys_of(entry.key, entry.at, facts), strict=True):
        if fact["type"] == "movement":
            movement = decode_fact(fact)
            assert isinstance(movement, Movement)
            events += _decided(decider, movement, key, entry.at, answer)
        else:
            events.append(event_from_stored(fact, key, entry.at))
    return events


def _of_difference(
    decider: Decider, entry: Entry, answer: Answer, named: As | None, at: datetime | None
) -> list[Event]:
    assert entry.asset is not None
    assert entry.amount is not None
    assert at is not None
    if named == "adjustment":
        note = {} if answer.note is None else {"source_note": answer.note}
        fields = {"asset": entry.asset, "amount": entry.amount, "reason": RECONCILIATION, "at": at, "key": entry.key}
        return [Adjustment.model_validate({**fields, **note, **({"actor": answer.actor} if answer.actor else {})})]
    if (named == "deposit") != (entry.amount > 0):
        refuse(
            Refusal.INBOX_ANSWER_MISMATCH,
            number=entry.id,
            why=f"the venue has {'more' if entry.amount > 0 else 'less'} of it than the book",
            what=f"give --as {'deposit' if entry.amount > 0 else 'withdrawal'}, or --as adjustment",
        )
    movement = Movement("in" if entry.amount > 0 else "out", entry.asset, entry.amount.copy_abs())
    return _decided(decider, movement, entry.key, at, answer)


def _decided(decider: Decider, movement: Movement, key: str, at: datetime, answer: Answer) -> list[Event]:
    try:
        return decider.decide(movement, key, at, answer, may_be_late=True)
    except Waits as waits:
        refuse(Refusal.INBOX_STILL_WAITS, why=waits.detail, code=waits.cause)


def dismiss(keeper: Bookkeeper, name: str, number: int, reason: str, actor: str | None = None) -> Entry:
    """Dismiss an entry: it is no event, and does not come back.

    `reason`: why, for people. Raises Refused `text_empty` and the like for a reason that is no text,
    `inbox_entry_unknown`, `inbox_entry_settled`; StorageError.
    """
    parse_text(reason.strip(), characters=10_000)
    return retry(partial(_dismiss, keeper, name, number, reason, actor), safe_to_repeat=always)


def _dismiss(keeper: Bookkeeper, name: str, number: int, reason: str, actor: str | None) -> Entry:
    with keeper.transaction(name) as transaction:
        entry = inbox.require_entry(transaction.connection, name, number)
        dismissed = replace(entry, status="dismissed", reason=reason, settled_at=keeper.now(), actor=actor)
        inbox.save(transaction.connection, name, dismissed)
        return dismissed
