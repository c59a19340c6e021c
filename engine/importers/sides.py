"""The other side of a movement: the deposit that a withdrawal arrived as, or the withdrawal that a deposit came from.

A transaction's hash says surely that two movements are one. An equal amount at nearly the same time only suggests it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Connection

from engine import inbox
from engine.importers.facts import DEPOSIT, WITHDRAWAL
from engine.inbox import MOVEMENTS, Entry
from ledger import store
from ledger.amounts import ZERO
from ledger.capital_index import movements_between
from ledger.stored import StoredEvent
from ledger.texts import normal_tx_hash

OPPOSITE = {DEPOSIT: WITHDRAWAL, WITHDRAWAL: DEPOSIT}
# How far apart two movements of one amount may be to be proposed as one.
NEAR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Side:
    """A movement that may be the other side of one.

    book:   the book that it stands or waits in
    found:  the entry of the inbox, or the event in the log
    """

    book: str
    found: Entry | StoredEvent

    @property
    def amount(self) -> Decimal:
        """How much, > 0, in the asset's own unit."""
        return amount_of(self.found)

    def __str__(self) -> str:
        if isinstance(self.found, Entry):
            return f"the {self.found.type} that waits in {self.book} as entry {self.found.id}"
        return f"the {self.found.type} {self.book}:{self.found.version}"


def amount_of(found: Entry | StoredEvent) -> Decimal:
    """How much a movement moves, > 0, in the asset's own unit."""
    if isinstance(found, Entry):
        return ZERO if found.amount is None else found.amount.copy_abs()
    own = found.effects.own
    return ZERO if own is None else own.delta.copy_abs()


def sides_of(
    connection: Connection, books: Iterable[str], kind: str, tx_hash: str | None, asset: str
) -> Iterator[Side]:
    """The standing and the waiting movements of a transaction that are the opposite of `kind`; no sides of transfers."""
    wanted = normal_tx_hash(tx_hash or "")
    if not wanted:
        return
    for book in books:
        for stored in store.find_movements(connection, book, OPPOSITE[kind], wanted, asset):
            if stored.reason is None and store.find_reversal(connection, book, stored.version) is None:
                yield Side(book, stored)
        for entry in inbox.entries(connection, book, sorts=MOVEMENTS, of=(OPPOSITE[kind], asset)):
            if normal_tx_hash(entry.tx_hash or "") == wanted:
                yield Side(book, entry)


def proposed_sides(connection: Connection, books: Iterable[str], entry: Entry) -> Iterator[Side]:
    """Candidates for the other side of an entry, waiting or recorded: its amount, near in time, without its hash.

    Sides of transfers are left out, and so is whatever has a different hash.
    """
    if entry.asset is None or entry.type not in OPPOSITE:
        return
    tx_hash = normal_tx_hash(entry.tx_hash or "")
    for book in books:
        for other in inbox.entries(connection, book, sorts=MOVEMENTS, of=(OPPOSITE[entry.type], entry.asset)):
            has_hash = bool(tx_hash) and normal_tx_hash(other.tx_hash or "") == tx_hash
            if not has_hash and other.amount == entry.amount and abs(other.at - entry.at) <= NEAR:
                yield Side(book, other)
        kind, start, end = OPPOSITE[entry.type], entry.at - NEAR, entry.at + NEAR
        for stored in movements_between(connection, book, kind, entry.asset, start, end):
            is_of_another = bool(tx_hash) and bool(stored.event.tx_hash)
            is_free = stored.reason is None and store.find_reversal(connection, book, stored.version) is None
            if is_free and not is_of_another and amount_of(stored) == entry.amount:
                yield Side(book, stored)


def may_be_one(withdrawn: Decimal, deposited: Decimal) -> bool:
    """Whether a deposit may be what arrived of a withdrawal: no more than went out."""
    return deposited <= withdrawn
