"""`reverse`: take an earlier event back, after a preview of what that changes.

The preview is computed from the present state. Carrying it out expects the version that the preview was made at, so that
what was shown is what is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from engine.bookkeeper import Bookkeeper
from engine.standing_marks import MarksOfLog, marks_now, marks_without
from ledger import store
from ledger.appender import Outcome, require_reversible
from ledger.book import Book
from ledger.database.tables import events
from ledger.effects import negated
from ledger.events import Reversal, Withdrawal
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
class ReversalPreview:
    """What reversing an event would change.

    book:              its terms
    head_version:      the version that the preview was made at
    target:            the event to reverse
    balances:          the balances that change
    pnl_before:        profit and loss now, at the newest marks
    pnl_after:         profit and loss after the reversal, at the newest marks that then stand
    classified_later:  the versions of later standing withdrawals, whose classification counted the event
    """

    book: Book
    head_version: int
    target: StoredEvent
    balances: list[BalanceChange]
    pnl_before: Pnl
    pnl_after: Pnl
    classified_later: list[int]

    @property
    def missing_marks(self) -> tuple[str, ...]:
        """The assets held before or after that have no mark; figures that need one are None."""
        return tuple(sorted({*self.pnl_before.missing_marks, *self.pnl_after.missing_marks}))

    @property
    def basis_falls_below_zero(self) -> bool:
        """Whether the reversal takes net basis below 0."""
        return self.pnl_before.net_basis >= 0 > self.pnl_after.net_basis


def preview_reversal(keeper: Bookkeeper, name: str, version: int, *, at: datetime | None = None) -> ReversalPreview:
    """What reversing the event at a version would change. `at`: the reversal's time; None for the reversed event's.

    Raises Refused `reversed_version_unknown`, `reversal_not_allowed`, `already_reversed`, `at_in_future`; StorageError.
    """
    require_not_ahead(at, keeper.now())
    view = keeper.view(name)
    with keeper.database.reading() as connection:
        target = store.find_event(connection, name, version)
        reversal = store.find_reversal(connection, name, version)
        target = require_reversible(version, target, reversal, view.head.version)
        later = store.read_events(connection, name, after=version, where=events.c.type == "withdrawal")
        reversed_versions = store.reversals(connection, name)
        classified = [
            stored.version for stored in later if _is_classified(stored) and stored.version not in reversed_versions
        ]
        after = apply(view.state, _as_reversal(target, view.head.version + 1), MarksOfLog(connection, name))
        marks = marks_now(connection, name, view.state.marks, keeper.now())
        marks_after = marks_without(connection, name, marks, target.version)
    return ReversalPreview(
        book=view.book,
        head_version=view.head.version,
        target=target,
        balances=_balance_changes(view.state, after),
        pnl_before=pnl(view.state, marks, view.book.numeraire),
        pnl_after=pnl(after, marks_after, view.book.numeraire),
        classified_later=classified,
    )


def reverse(keeper: Bookkeeper, preview: ReversalPreview, reversal: Reversal) -> Outcome:
    """Append a previewed reversal. Raises VersionPassed when the book has changed since; Refused; StorageError."""
    return keeper.append(preview.book.name, reversal, expected_version=preview.head_version)


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
