"""`reverse`: take an earlier event back, and show what that does.

The figures before and after are those of the state that the reversal is appended to: both are read under the book's lock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from sqlalchemy import Connection

from engine.bookkeeper import Bookkeeper, read_view
from engine.capital.request import RequestOutcome, Situation, carry_out
from engine.pairing import transfer_of
from engine.retrying import always, retry
from engine.standing_marks import MarksOfLog, marks_without
from ledger import store
from ledger.appender import require_reversible
from ledger.book import Book
from ledger.database.tables import events
from ledger.effects import negated
from ledger.errors import Refusal
from ledger.events import TRANSFER, Reversal, TransferSide, Withdrawal
from ledger.idempotency import StoredLog, find_duplicate, has_key
from ledger.refusal_texts import refuse
from ledger.rules import require_not_ahead
from ledger.stored import StoredEvent
from projections.pnl import Pnl, pnl
from projections.state import BookState, apply


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """One asset's balance before and after, in the asset's own unit."""

    asset: str
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class OtherSide:
    """The other side of a transfer that is taken back: its book, its version there, and what the reversal does there."""

    book: str
    version: int
    plan: ReversalPlan


@dataclass(frozen=True, slots=True)
class ReversalPlan:
    """A reversal and what it does.

    `target`: the event that is taken back. `balances`: those that change. `pnl_before`, `pnl_after`: valued with the newest
    marks. `classified_later`: versions of later withdrawals that were classified on top of the target and still stand.
    `other`: the other side of a transfer, which is taken back with it; None for any other event.
    """

    event: Reversal
    target: StoredEvent
    balances: list[BalanceChange]
    pnl_before: Pnl
    pnl_after: Pnl
    classified_later: list[int]
    other: OtherSide | None = None

    @property
    def missing_marks(self) -> tuple[str, ...]:
        """The assets held before or after that have no mark; figures that need one are None."""
        return tuple(sorted({*self.pnl_before.missing_marks, *self.pnl_after.missing_marks}))

    @property
    def basis_falls_below_zero(self) -> bool:
        """Whether the reversal takes net basis below 0."""
        return self.pnl_before.net_basis >= 0 > self.pnl_after.net_basis


@dataclass(frozen=True, slots=True)
class ReversalRequest:
    """Take the event at `reversal.reverses` back; `reversal.at` None: at the event's own time."""

    reversal: Reversal

    def event(self, book: Book) -> Reversal:
        """The reversal as it was given; it is the same in every book."""
        return self.reversal

    def plan(self, situation: Situation) -> ReversalPlan:
        """What the reversal does. Raises Refused, as `reverse` does."""
        require_not_ahead(self.reversal.at, situation.now)
        connection, book, state = situation.connection, situation.book, situation.state
        version = self.reversal.reverses
        target = require_reversible(
            version,
            store.find_event(connection, book.name, version),
            store.find_reversal(connection, book.name, version),
            state.version,
        )
        after = apply(state, _as_reversal(target, state.version + 1), MarksOfLog(connection, book.name))
        marks = situation.marks(None)
        marks_after = marks_without(connection, book.name, marks, target.version)
        return ReversalPlan(
            event=self.reversal,
            target=target,
            balances=_balance_changes(state, after),
            pnl_before=pnl(state, marks, book.numeraire),
            pnl_after=pnl(after, marks_after, book.numeraire),
            classified_later=_classified_after(connection, book.name, version),
        )


def reverse(
    keeper: Bookkeeper, name: str, reversal: Reversal, *, dry_run: bool = False
) -> RequestOutcome[ReversalPlan]:
    """Append an event that negates an earlier one's effects; a dry run only shows what that would do.

    Of a transfer both sides are taken back, in one transaction over both books.

    Raises Refused `reversed_version_unknown`, `reversal_not_allowed`, `already_reversed`, `at_in_future`, `book_unknown`
    when the book on the other side of a transfer is not in this ledger; KeyConflict; StorageError.
    """
    side = _transfer_at(keeper, name, reversal.reverses)
    if side is None:
        return carry_out(keeper, name, ReversalRequest(reversal), dry_run=dry_run)
    if dry_run:
        return retry(partial(_preview_both, keeper, name, reversal, side), safe_to_repeat=always)
    return retry(partial(_reverse_both, keeper, name, reversal, side), safe_to_repeat=lambda: has_key(reversal))


def _transfer_at(keeper: Bookkeeper, name: str, version: int) -> TransferSide | None:
    """The transfer that the event at a version is a side of; None for any other event, and for none."""
    with keeper.database.reading() as connection:
        store.require_book(connection, name)
        stored = store.find_event(connection, name, version)
        return None if stored is None or stored.reason != TRANSFER else transfer_of(stored.event)


def _preview_both(
    keeper: Bookkeeper, name: str, reversal: Reversal, side: TransferSide
) -> RequestOutcome[ReversalPlan]:
    with keeper.database.reading() as connection:
        here, there = read_view(connection, name), read_view(connection, side.book)
        existing = find_duplicate(reversal, StoredLog(connection, name))
        if existing is not None:
            return RequestOutcome(here.book, None, None, existing)
        now = keeper.now()
        situations = [Situation(view.book, view.state, now, connection) for view in (here, there)]
        return RequestOutcome(here.book, _plan_both(reversal, side, *situations), None, None)


def _reverse_both(
    keeper: Bookkeeper, name: str, reversal: Reversal, side: TransferSide
) -> RequestOutcome[ReversalPlan]:
    with keeper.transactions(name, side.book) as (here, there):
        existing = here.find_duplicate(reversal)
        if existing is not None:
            return RequestOutcome(here.book, None, None, existing)
        now = keeper.now()
        situations = [Situation(each.book, each.state, now, each.connection) for each in (here, there)]
        plan = _plan_both(reversal, side, *situations)
        assert plan.other is not None
        outcome = here.append(plan.event)
        there.append(plan.other.plan.event)
        return RequestOutcome(here.book, plan, outcome, None)


def _plan_both(reversal: Reversal, side: TransferSide, here: Situation, there: Situation) -> ReversalPlan:
    """What the reversal of a transfer does on both sides."""
    plan = ReversalRequest(reversal).plan(here)
    answer = store.find_keys(there.connection, side.book, [side.id]).get(side.id)
    if answer is None:  # the other book is a copy that ends before it, or was written by another program
        refuse(Refusal.TRANSFER_UNPAIRED, actual="1 side", id=side.id)
    of_other = ReversalRequest(reversal.model_copy(update={"reverses": answer.version})).plan(there)
    return replace(plan, other=OtherSide(side.book, answer.version, of_other))


def _classified_after(connection: Connection, name: str, version: int) -> list[int]:
    later = store.read_events(connection, name, after=version, where=events.c.type == "withdrawal")
    reversed_versions = store.reversals(connection, name)
    return [event.version for event in later if _is_classified(event) and event.version not in reversed_versions]


def _is_classified(stored: StoredEvent) -> bool:
    withdrawal = stored.event
    return isinstance(withdrawal, Withdrawal) and withdrawal.evidence is not None


def _as_reversal(target: StoredEvent, version: int) -> StoredEvent:
    return replace(target, version=version, type="reversal", reverses=target.version, effects=negated(target.effects))


def _balance_changes(before: BookState, after: BookState) -> list[BalanceChange]:
    changes = (
        BalanceChange(asset, before.inventory.balance(asset), after.inventory.balance(asset))
        for asset in sorted(after.inventory)
    )
    return [change for change in changes if change.before != change.after]
