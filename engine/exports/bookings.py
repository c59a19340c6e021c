"""A book as double-entry bookings, from which the journals of other programs are written.

Only what stands is there: an event that was reversed, and its reversal, move nothing together. What is held of an asset
stands at its cost, lot by lot; the numeraire has no lots. A worked example, numeraire RLUSD:

    buy 10 XRP for 13.30 (version 4)     assets XRP, lot 4   10 XRP at 13.30      assets RLUSD −13.30
    sell 5 XRP for 6.70                  assets XRP, lot 4   −5 XRP at  6.65      assets RLUSD   6.70     gains −0.05
    fee 0.01 XRP                         assets XRP, lot 4   −0.01 XRP at 0.0133                          expenses 0.0133

Each booking adds up to nothing in the numeraire, to the digit: what is left over is a gain, a fee, capital or income, by
what the event was. What has no known cost stands by itself, against an account of its own in its own unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from engine.cost_basis import CostMethod, standing_events
from engine.views import NOW, view_within
from ledger.amounts import ZERO, add, negate
from ledger.book import Book
from ledger.database.connections import Database
from ledger.effects import Posting
from ledger.stored import StoredEvent
from projections.cost_basis import NO_INCOME, CostBasisFold
from projections.fees import FEE_REASONS
from projections.lots import METHODS, Lot, Origin

ASSETS, EQUITY, REVENUES, EXPENSES = "assets", "equity", "revenues", "expenses"
CAPITAL, UNKNOWN_COST = (EQUITY, "capital"), (EQUITY, "unknown cost")
GAINS, UNKNOWN_GAINS, FEES = (REVENUES, "gains"), (REVENUES, "proceeds of unknown cost"), (EXPENSES, "fees")
Account = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """What a booking does to an account.

    account:  from the top; of an asset (assets, book, asset)
    asset:    what moves
    amount:   by how much, in its own unit
    cost:     of that amount, in the numeraire, ≥ 0; None for the numeraire, and where it is unknown
    lot:      the event that opened the lot; None for the numeraire, for other accounts, and where lots are not told apart
    """

    account: Account
    asset: str
    amount: Decimal
    cost: Decimal | None = None
    lot: Origin | None = None


@dataclass(frozen=True, slots=True)
class Booking:
    """What an event did: its event, and lines that add up to nothing."""

    stored: StoredEvent
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Bookings:
    """A book as bookings, in the order of time; a mark has no lines.

    book:     its terms
    version:  the newest event
    entries:  bookings and marks
    """

    book: Book
    version: int
    entries: Sequence[Booking]


@dataclass(slots=True)
class _Moves:
    """How lots moved: by the version that moved them, and whether as a fee, the lots and the sign."""

    by: defaultdict[tuple[int, bool], list[tuple[Lot, bool]]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, lot: Lot, is_opened: bool, by: Origin) -> None:
        self.by[by.version, by.cause == "fee"].append((lot, is_opened))


def bookings(database: Database, name: str, method: CostMethod, *, now: datetime, by_lot: bool = True) -> Bookings:
    """A book as bookings. `by_lot`: lots are told apart, unless the method has one lot for all.

    Raises Refused `book_unknown`; StorageError.
    """
    with database.reading() as connection:
        view = view_within(connection, name, NOW, now=now)
        found = standing_events(connection, [name], NOW, now=now)
    moves = _Moves()
    CostBasisFold(view.book.numeraire, METHODS[method.name], on_moved=moves).run(found)
    write = _Writer(view.book, moves, by_lot and method.name != "average")
    return Bookings(view.book, view.head.version, [write.booking(stored) for stored in found if _is_shown(stored)])


def _is_shown(stored: StoredEvent) -> bool:
    return stored.type == "mark" or any(stored.effects.postings)


class _Writer:
    """Makes the bookings of a book."""

    def __init__(self, book: Book, moves: _Moves, by_lot: bool) -> None:
        self._book = book
        self._moves = moves
        self._by_lot = by_lot

    def booking(self, stored: StoredEvent) -> Booking:
        """What an event did."""
        is_fee_itself = stored.type == "adjustment" and stored.reason in FEE_REASONS
        lines = [] if is_fee_itself else self._part(stored, is_fee=False)
        return Booking(stored, [*lines, *self._part(stored, is_fee=True)])

    def _part(self, stored: StoredEvent, *, is_fee: bool) -> list[Line]:
        """The lines of the trade, the movement or the adjustment itself, or those of the fee."""
        lines = [self._of_lot(*moved) for moved in self._moves.by[stored.version, is_fee]]
        lines += [
            Line(self._assets(posting.asset), posting.asset, posting.delta)
            for posting in _postings(stored, is_fee=is_fee)
            if posting.asset == self._book.numeraire and posting.delta
        ]
        unknown = [line for line in lines if line.asset != self._book.numeraire and line.cost is None]
        lines += [Line(UNKNOWN_COST, line.asset, negate(line.amount)) for line in unknown]
        rest = _rest(stored, is_fee=is_fee, is_known=not unknown)
        return [*lines, *self._against(stored, lines, rest, is_fee=is_fee)]

    def _of_lot(self, lot: Lot, is_opened: bool) -> Line:
        amount = lot.quantity if is_opened else negate(lot.quantity)
        # The cost of a short lot is negative like its quantity. One that is not, of an exchange, cannot stand as a cost.
        cost = lot.cost if lot.cost is None or not lot.cost else lot.cost.copy_abs()
        if lot.cost and (lot.cost > 0) != (lot.quantity > 0):
            cost = ZERO
        return Line(self._assets(lot.asset), lot.asset, amount, cost, lot.origin if self._by_lot else None)

    def _assets(self, asset: str) -> Account:
        return (ASSETS, self._book.name, asset)

    def _against(self, stored: StoredEvent, lines: Sequence[Line], rest: Account, *, is_fee: bool) -> Iterator[Line]:
        """What balances the lines: capital at its own value, and what is left over on the account `rest`."""
        left = _left_over(lines, self._book.numeraire)
        if not is_fee and stored.type in ("deposit", "withdrawal"):
            capital = negate(stored.effects.net_deposits_delta)
            yield Line(CAPITAL, self._book.numeraire, capital)
            left = add(left, capital)
        if left:
            yield Line(rest, self._book.numeraire, negate(left))


def _left_over(lines: Sequence[Line], numeraire: str) -> Decimal:
    """What lines add up to in the numeraire."""
    left = ZERO
    for line in lines:
        if line.asset == numeraire:
            left = add(left, line.amount)
        elif line.cost is not None:
            left = add(left, line.cost.copy_sign(line.amount))
    return left


def _rest(stored: StoredEvent, *, is_fee: bool, is_known: bool) -> Account:
    """The account of what is left over. `is_known`: whether the cost of all that moved is."""
    if is_fee:
        return FEES
    if stored.type != "adjustment":
        return GAINS if is_known else UNKNOWN_GAINS
    reason = stored.reason or "other"
    return (EQUITY if reason in NO_INCOME else REVENUES, "adjustments", reason)


def _postings(stored: StoredEvent, *, is_fee: bool) -> list[Posting]:
    effects = stored.effects
    is_fee_itself = stored.type == "adjustment" and stored.reason in FEE_REASONS
    found = [effects.own if is_fee_itself else effects.fee] if is_fee else [effects.own, effects.quote]
    return [posting for posting in found if posting is not None]
