"""A request of capital and how it is carried out: planned under the book's lock and appended, or only planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from engine.bookkeeper import Bookkeeper, read_view
from engine.retrying import retry
from engine.standing_marks import marks_now, marks_until
from ledger import store
from ledger.appender import Outcome
from ledger.book import Book
from ledger.events import Event
from ledger.idempotency import StoredLog, find_repeated, has_key
from ledger.stored import StoredEvent
from projections.marks import Marks, Price, price_of
from projections.state import BookState


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """A figure before and after, in the numeraire."""

    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Movement:
    """What a person says of capital that moves; texts as they were given, None for what was left out.

    `amount` > 0 in the asset's unit; `asset` None for the numeraire. A transaction's hash gives the event its key, where
    none is given.
    """

    amount: str
    asset: str | None = None
    source_note: str | None = None
    tx_hash: str | None = None
    at: str | None = None
    actor: str | None = None
    key: str | None = None

    def fields(self, book: Book) -> dict[str, object]:
        """The fields of an event, without those that were left out."""
        given = {
            "asset": self.asset or book.numeraire,
            "amount": self.amount,
            "source_note": self.source_note,
            "tx_hash": self.tx_hash,
            "at": self.at,
            "actor": self.actor,
            "key": self.key,
        }
        return {name: text for name, text in given.items() if text is not None}


@dataclass(frozen=True, slots=True)
class Situation:
    """A book as a decision finds it: its terms, its state, the clock, and the log to be asked in the same transaction."""

    book: Book
    state: BookState
    now: datetime
    connection: Connection

    def marks(self, at: datetime | None) -> Marks:
        """The marks that a decision may use: the newest standing ones that are not ahead of the clock.

        With an `at` of its own a decision uses only what was so then, so none later than that.
        """
        if at is None:
            return marks_now(self.connection, self.book.name, self.state.marks, self.now)
        return marks_until(self.connection, self.book.name, self.state.marks, at)

    def mark_at(self, asset: str, at: datetime) -> Price | None:
        """The newest standing mark of an asset that is not later than a time."""
        found = store.newest_mark(self.connection, self.book.name, asset, until=at)
        return None if found is None else price_of(found)


class Plan(Protocol):
    """What a request becomes; figures beside the event are the request's own."""

    @property
    def event(self) -> Event: ...


PlanT = TypeVar("PlanT", bound=Plan)
PlanT_co = TypeVar("PlanT_co", bound=Plan, covariant=True)


class Request(Protocol[PlanT_co]):
    """What a person asked for."""

    def event(self, book: Book) -> Event:
        """The event as far as it was given; a repeat is recognised by it. Raises Refused."""

    def plan(self, situation: Situation) -> PlanT_co:
        """The event as it is decided, and the figures to be shown. Raises Refused."""


@dataclass(frozen=True, slots=True)
class RequestOutcome(Generic[PlanT]):
    """A request carried out; `outcome` is None for a dry run.

    `existing` is the event that was there already, when the request was a repeat; then nothing was planned or written.
    """

    book: Book
    plan: PlanT | None
    outcome: Outcome | None
    existing: StoredEvent | None


def carry_out(keeper: Bookkeeper, name: str, request: Request[PlanT], *, dry_run: bool) -> RequestOutcome[PlanT]:
    """Plan, and append the planned event in the same transaction; a dry run plans from what it reads.

    Retries after a transient fault where that cannot write anything twice, and plans anew. Raises what the request raises;
    KeyConflict, MovementConflict, ExistsReversed; StorageError.
    """
    if dry_run:
        return retry(partial(_plan, keeper, name, request), safe_to_repeat=lambda: True)
    given = request.event(keeper.terms(name))
    return retry(partial(_record, keeper, name, request), safe_to_repeat=lambda: has_key(given))


def _plan(keeper: Bookkeeper, name: str, request: Request[PlanT]) -> RequestOutcome[PlanT]:
    with keeper.database.reading() as connection:
        view = read_view(connection, name)
        existing = find_repeated(request.event(view.book), StoredLog(connection, name), refuse_reversed=True)
        if existing is not None:
            return RequestOutcome(view.book, None, None, existing)
        situation = Situation(view.book, view.state, keeper.now(), connection)
        return RequestOutcome(view.book, request.plan(situation), None, None)


def _record(keeper: Bookkeeper, name: str, request: Request[PlanT]) -> RequestOutcome[PlanT]:
    with keeper.transaction(name) as transaction:
        book = transaction.book
        existing = transaction.find_repeated(request.event(book), refuse_reversed=True)
        if existing is not None:
            return RequestOutcome(book, None, None, existing)
        plan = request.plan(Situation(book, transaction.state, keeper.now(), transaction.connection))
        return RequestOutcome(book, plan, transaction.append(plan.event), None)
