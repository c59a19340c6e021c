"""Settling both sides of one movement together: internal to a book, or a transfer between two books of the ledger.

    internal   out of one account of the book and into another: no capital. What was recorded of it is reversed, and what
               went out and did not arrive is a network fee
    transfer   out of one book and into another: `engine.capital.transfer` divides and records it

Other facts of the rows, such as a fee, are recorded with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import NoReturn

import orjson
from sqlalchemy import Connection

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.capital import Fee, TransferRequest, transfer_within
from engine.capital import Movement as Capital
from engine.importers.deciding import ANSWERED_BY, Answer
from engine.importers.facts import WITHDRAWAL, event_from_stored, keys_of
from engine.importers.landing import INTERNAL
from engine.importers.sides import OPPOSITE, Side, amount_of, may_be_one, sides_of
from engine.inbox import Entry
from engine.retrying import always, retry
from engine.transaction import Transaction
from ledger import store
from ledger.amounts import ZERO, amount_text, negate, subtract
from ledger.errors import Refusal
from ledger.events import Adjustment, Event, Reversal
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from ledger.times import time_text
from projections.marks import Price

NETWORK_FEE = "network_fee"
REASON = "moved between two accounts of this book"


@dataclass(frozen=True, slots=True)
class SideReference:
    """The other side, as a person names it.

    book:     the book that it is in; None for the entry's own
    entry:    its number in the inbox; None for an event
    version:  its version in the log; None for an entry
    """

    book: str | None = None
    entry: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """What became of two sides.

    entry:           the entry that was resolved
    other:           the place of the other side, for people
    reversed:        the version of the reversal of what was recorded before; None for none
    fee:             what went out and did not arrive, in the asset's own unit; 0 for nothing
    sent, received:  the places of a transfer's withdrawal and deposit, as BOOK:VERSION; None for an internal movement
    """

    entry: Entry
    other: str
    reversed: int | None
    fee: Decimal
    sent: str | None = None
    received: str | None = None


def resolve_internal(
    keeper: Bookkeeper, name: str, number: int, other: SideReference | None = None, *, actor: str | None = None
) -> Pairing:
    """Settle an entry and its other side as a movement between two accounts of the book.

    `other`: None to take the one of the same transaction. Raises Refused `inbox_entry_unknown`, `inbox_entry_settled`,
    `inbox_answer_mismatch`, and what reversing raises; StorageError.
    """
    return retry(partial(_internal, keeper, name, number, other, actor), safe_to_repeat=always)


def _internal(keeper: Bookkeeper, name: str, number: int, other: SideReference | None, actor: str | None) -> Pairing:
    with keeper.transaction(name) as transaction:
        connection = transaction.connection
        entry = _entry(connection, name, number)
        side = _found(connection, entry, name, other, [name])
        if side.book != name:
            _mismatch(entry, f"{side} is in another book", "give --as transfer")
        fee = _fee(entry, side)
        sent = entry if entry.type == WITHDRAWAL else side.found
        events = [*_other_facts(entry), *(_other_facts(side.found) if isinstance(side.found, Entry) else ())]
        if isinstance(side.found, StoredEvent):
            key = f"{side.found.key}:{INTERNAL}"
            events.append(Reversal(reverses=side.found.version, reason=REASON, key=key, actor=actor))
        if fee > ZERO:
            events.append(_network_fee(entry.asset, fee, sent, actor))
        outcomes = list(transaction.append_all(events))
        reversal = next((each.version for each in outcomes if each.stored.type == "reversal"), None)
        settled = _settled(transaction, keeper, entry, f"{REASON}; the other side is {side}", actor)
        if isinstance(side.found, Entry):
            _settled(transaction, keeper, side.found, f"{REASON}; the other side is entry {entry.id}", actor)
        return Pairing(settled, str(side), reversal, fee)


def _network_fee(asset: str | None, fee: Decimal, sent: Entry | StoredEvent, actor: str | None) -> Adjustment:
    tx_hash = sent.tx_hash if isinstance(sent, Entry) else sent.event.tx_hash
    fields = {"asset": asset, "amount": negate(fee), "reason": NETWORK_FEE, "at": sent.at}
    fields |= {"key": f"{sent.key}:{INTERNAL}:fee", "tx_hash": tx_hash, "actor": actor}
    return Adjustment.model_validate({name: value for name, value in fields.items() if value is not None})


def resolve_transfer(
    keeper: Bookkeeper, name: str, number: int, answer: Answer, other: SideReference | None = None
) -> Pairing:
    """Settle a withdrawal and a deposit of two books as one transfer; `number` may be either, where both wait.

    A deposit that is recorded already is reversed, and the transfer's takes its place.

    `answer`: prices and who decided. `other`: None to take the one of the same transaction. Raises as `resolve_internal`,
    and what a transfer is refused for.
    """
    return retry(partial(_transfer, keeper, name, number, answer, other), safe_to_repeat=always)


def _transfer(keeper: Bookkeeper, name: str, number: int, answer: Answer, other: SideReference | None) -> Pairing:
    with keeper.database.reading() as connection:
        books = [book for book in store.book_names(connection) if book != name]
        entry = _entry(connection, name, number)
        there = _found(connection, entry, name, other, books)
        if there.book == name:
            _mismatch(entry, f"{there} is in the same book", "give --as internal")
    with keeper.transactions(name, there.book) as (ours, theirs):
        entry = _entry(ours.connection, name, number)
        facing = there.found
        if isinstance(facing, Entry):
            facing = _entry(theirs.connection, there.book, facing.id)
        fee = _fee(entry, Side(there.book, facing))
        if entry.type == WITHDRAWAL:
            sides = _Sides(ours, entry, theirs, facing)
        elif isinstance(facing, Entry):
            sides = _Sides(theirs, facing, ours, entry)
        else:
            _mismatch(entry, f"{there} is recorded already", "resolve this entry, and tie the two: transfer --link")
        sent, received = _record(keeper, sides, fee, answer)
        settled = inbox.find_keys(ours.connection, name, [entry.key])[entry.key]
        return Pairing(settled, str(there), sides.reversed, fee, sent, received)


@dataclass(slots=True)
class _Sides:
    """Both sides of a transfer.

    sending, receiving:  the transactions of the two books
    sent:                the withdrawal, which waits
    received:            the deposit, which waits or is recorded
    reversed:            the version of the reversal of a recorded deposit; None for none
    """

    sending: Transaction
    sent: Entry
    receiving: Transaction
    received: Entry | StoredEvent
    reversed: int | None = None


def _record(keeper: Bookkeeper, sides: _Sides, fee: Decimal, answer: Answer) -> tuple[str, str]:
    """Record a transfer and settle its entries; returns the places of its withdrawal and its deposit."""
    entries = [(sides.sending, sides.sent)]
    if isinstance(sides.received, Entry):
        entries.append((sides.receiving, sides.received))
    else:
        recorded = sides.received
        key = f"{recorded.key}:transfer"
        reversal = Reversal(reverses=recorded.version, reason="it is a transfer", key=key, actor=answer.actor)
        sides.reversed = sides.receiving.append(reversal).version
    for transaction, entry in entries:
        if not entry.is_reached:
            _mismatch(entry, "the import has not come to it yet", "resolve what it waits behind, and import again")
        for _ in transaction.append_all(_other_facts(entry)):
            pass
    request = _request(sides, fee, answer)
    id_ = f"{sides.sent.key}:transfer"
    done = transfer_within(sides.sending, sides.receiving, request, id_=id_, now=keeper.now())
    assert done.recorded is not None
    detail = f"a transfer from {sides.sending.book.name} to {sides.receiving.book.name}"
    for (transaction, entry), outcome in zip(entries, done.recorded, strict=False):
        _settled(transaction, keeper, entry, detail, answer.actor, version=outcome.version)
    sent, received = done.recorded
    return f"{sides.sending.book.name}:{sent.version}", f"{sides.receiving.book.name}:{received.version}"


def _request(sides: _Sides, fee: Decimal, answer: Answer) -> TransferRequest:
    sent = sides.sent
    moved = Capital(
        amount=amount_text(amount_of(sides.received)),
        asset=sent.asset,
        source_note=answer.note,
        tx_hash=sent.tx_hash,
        at=time_text(sent.at),
        actor=answer.actor,
    )
    prices = {asset: Price(price, ANSWERED_BY, sent.at) for asset, price in answer.prices.items()}
    return TransferRequest(
        moved,
        sides.receiving.book.name,
        fee=Fee(fee) if fee > ZERO else None,
        prices=prices,
        max_mark_age=answer.max_mark_age,
        may_be_late=True,
        even_so=True,
    )


def _entry(connection: Connection, book: str, number: int) -> Entry:
    entry = inbox.require_entry(connection, book, number)
    if entry.sort != "movement":
        _mismatch(entry, "it is no movement of a file", "give the number of one that is")
    return entry


def _found(connection: Connection, entry: Entry, name: str, other: SideReference | None, books: list[str]) -> Side:
    """The other side: as it was named, or the only one of the same transaction. Raises Refused."""
    if other is None:
        assert entry.asset is not None
        sides = list(sides_of(connection, books, entry.type, entry.tx_hash, entry.asset))
        if len(sides) != 1:
            why = (
                "no other side of its transaction is known" if not sides else "its transaction has several other sides"
            )
            _mismatch(entry, why, "name the other side: --other [BOOK:]ID, or --other-version [BOOK:]VERSION")
        side = sides[0]
    elif other.entry is not None:
        book = other.book or name
        side = Side(book, _entry(connection, book, other.entry))
    else:
        assert other.version is not None
        book = other.book or name
        store.require_book(connection, book)
        stored = store.find_event(connection, book, other.version)
        if stored is None:
            _mismatch(entry, f"the book {book} has no version {other.version}", "name the version of its other side")
        side = Side(book, stored)
    if (side.found.type, side.found.asset) != (OPPOSITE[entry.type], entry.asset):
        _mismatch(entry, f"{side} is no {OPPOSITE[entry.type]} of {entry.asset}", "name the other side of the movement")
    return side


def _fee(entry: Entry, side: Side) -> Decimal:
    """What went out and did not arrive. Raises Refused when more arrived than went out."""
    amounts = [amount_of(entry), side.amount]
    left, arrived = amounts if entry.type == WITHDRAWAL else reversed(amounts)
    if not may_be_one(left, arrived):
        _mismatch(
            entry, f"{amount_text(arrived)} arrived of {amount_text(left)}", "name the other side of the movement"
        )
    return subtract(left, arrived)


def _other_facts(entry: Entry) -> list[Event]:
    """What else the row of an entry has, when the import has come to it; the import itself records it otherwise."""
    if entry.facts is None or not entry.is_reached:
        return []
    facts = orjson.loads(entry.facts)
    keyed = zip(facts, keys_of(entry.key, entry.at, facts), strict=True)
    return [event_from_stored(fact, key, entry.at) for fact, key in keyed if fact["type"] != "movement"]


def _settled(
    transaction: Transaction,
    keeper: Bookkeeper,
    entry: Entry,
    detail: str,
    actor: str | None,
    version: int | None = None,
) -> Entry:
    now: datetime = keeper.now()
    cause = entry.cause if version is not None else INTERNAL
    settled = replace(
        entry, status="resolved", cause=cause, detail=detail, settled_at=now, actor=actor, version=version
    )
    inbox.save(transaction.connection, transaction.book.name, settled)
    return settled


def _mismatch(entry: Entry, why: str, what: str) -> NoReturn:
    refuse(Refusal.INBOX_ANSWER_MISMATCH, number=entry.id, why=why, what=what)
