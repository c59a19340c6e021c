"""Requests on capital, and carrying them out: planned and appended under the book's lock, or only planned."""

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
from ledger.idempotency import StoredLog, find_duplicate, has_key
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
    """Capital that moves, as a person stated it. Texts as given; None for what was left out.

    amount:       > 0, in the asset's own unit
    asset:        None for the numeraire
    source_note:  a person's words about it
    tx_hash:      the transaction on a chain; makes the idempotency key when `key` is None
    at:           when it happened; None for now
    actor:        who decided or approved it
    key:          idempotency key
    """

    amount: str
    asset: str | None = None
    source_note: str | None = None
    tx_hash: str | None = None
    at: str | None = None
    actor: str | None = None
    key: str | None = None

    def fields(self, book: Book) -> dict[str, object]:
        """The fields of its event, without those that were left out."""
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
    """A book at the moment of a decision.

    book:        its terms
    state:       what its log adds up to
    now:         the current time, UTC
    connection:  for lookups in the log, in the same transaction
    """

    book: Book
    state: BookState
    now: datetime
    connection: Connection

    def marks(self, at: datetime | None) -> Marks:
        """The marks that a decision may use: the newest standing ones, none ahead of the clock.

        `at`: the decision's own time, after which no mark may be; None for a decision now.
        """
        if at is None:
            return marks_now(self.connection, self.book.name, self.state.marks, self.now)
        return marks_until(self.connection, self.book.name, self.state.marks, at)

    def mark_at(self, asset: str, at: datetime) -> Price | None:
        """The newest standing mark of an asset with `at` no later than a time; None for none."""
        found = store.newest_mark(self.connection, self.book.name, asset, until=at)
        return None if found is None else price_of(found)


class Plan(Protocol):
    """What a request becomes: an event, and whatever figures the request adds."""

    @property
    def event(self) -> Event: ...


PlanT = TypeVar("PlanT", bound=Plan)
PlanT_co = TypeVar("PlanT_co", bound=Plan, covariant=True)


class Request(Protocol[PlanT_co]):
    """What a person asked for."""

    def event(self, book: Book) -> Event:
        """The event as far as it was given; a duplicate is recognised by it. Raises Refused."""

    def plan(self, situation: Situation) -> PlanT_co:
        """The event that is decided, and the figures to show. Raises Refused."""


@dataclass(frozen=True, slots=True)
class RequestOutcome(Generic[PlanT]):
    """What became of a request.

    book:      the book's terms
    plan:      what was planned; None when the event existed already
    outcome:   what was recorded; None for a dry run, and when the event existed already
    existing:  the stored event that the request duplicates; None for a new one
    """

    book: Book
    plan: PlanT | None
    outcome: Outcome | None
    existing: StoredEvent | None


def carry_out(keeper: Bookkeeper, name: str, request: Request[PlanT], *, dry_run: bool) -> RequestOutcome[PlanT]:
    """Plan a request and append its event in the same transaction; a dry run only plans, from a read-only view.

    After a transient fault it plans and appends again, if that cannot write anything twice. Raises what the request raises;
    KeyConflict, MovementConflict, ExistsReversed; StorageError.
    """
    if dry_run:
        return retry(partial(_plan, keeper, name, request), safe_to_repeat=lambda: True)
    given = request.event(keeper.terms(name))
    return retry(partial(_record, keeper, name, request), safe_to_repeat=lambda: has_key(given))


def _plan(keeper: Bookkeeper, name: str, request: Request[PlanT]) -> RequestOutcome[PlanT]:
    with keeper.database.reading() as connection:
        view = read_view(connection, name)
        existing = find_duplicate(request.event(view.book), StoredLog(connection, name), refuse_reversed=True)
        if existing is not None:
            return RequestOutcome(view.book, None, None, existing)
        situation = Situation(view.book, view.state, keeper.now(), connection)
        return RequestOutcome(view.book, request.plan(situation), None, None)


def _record(keeper: Bookkeeper, name: str, request: Request[PlanT]) -> RequestOutcome[PlanT]:
    with keeper.transaction(name) as transaction:
        book = transaction.book
        existing = transaction.find_duplicate(request.event(book), refuse_reversed=True)
        if existing is not None:
            return RequestOutcome(book, None, None, existing)
        plan = request.plan(Situation(book, transaction.state, keeper.now(), transaction.connection))
        return RequestOutcome(book, plan, transaction.append(plan.event), None)
