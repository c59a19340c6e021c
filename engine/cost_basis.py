"""Cost basis of a book at a moment: its events read and folded by a method; see `projections.cost_basis`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_

from engine.bookkeeper import View
from engine.views import NOW, Moment, view_within
from ledger import store
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.errors import Refusal
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE
from projections.cost_basis import CostBasis, CostBasisFold, standing_order
from projections.lots import METHODS

TYPES = ("fill", "deposit", "withdrawal", "adjustment", "baseline", "mark", "reversal")
DEFAULT_METHOD = "fifo"


@dataclass(frozen=True, slots=True)
class CostMethod:
    """How cost basis is counted.

    name:          a name of `projections.lots.METHODS`
    fees_in_cost:  the accountant's view of fees instead of the desk's
    no_shorts:     a disposal of more than is held is refused
    """

    name: str = DEFAULT_METHOD
    fees_in_cost: bool = False
    no_shorts: bool = False


@dataclass(frozen=True, slots=True)
class BasisView:
    """A book at a moment, and its cost basis.

    view:   the book
    basis:  its lots and what was realised
    """

    view: View
    basis: CostBasis


def basis_at(database: Database, name: str, method: CostMethod, moment: Moment = NOW, *, now: datetime) -> BasisView:
    """The cost basis of the events that count at a moment.

    Raises Refused `short_lot` with `no_shorts`, naming the version; what `view_at` raises.
    """
    with database.reading() as connection:
        view = view_within(connection, name, moment, now=now)
        found = standing_events(connection, name, moment, now=now)
    fold = CostBasisFold(view.book.numeraire, METHODS[method.name], fees_in_cost=method.fees_in_cost)
    basis = fold.run(found)
    if method.no_shorts:
        _require_no_shorts(basis)
    return BasisView(view, basis)


def standing_events(connection: Connection, name: str, moment: Moment, *, now: datetime) -> list[StoredEvent]:
    """The events that stand at a moment and move a balance, a value or a price, in the order of `at`.

    Marks ahead of the clock do not count.
    """
    condition = and_(events.c.type.in_(TYPES), moment.condition())
    found = standing_order(store.read_events(connection, name, where=condition))
    return [stored for stored in found if stored.type != "mark" or stored.at <= now + CLOCK_TOLERANCE]


def _require_no_shorts(basis: CostBasis) -> None:
    shorts = [lot.origin for lot in basis.open_lots() if lot.quantity < 0]
    shorts += [disposal.opened for disposal in basis.disposals if disposal.is_short]
    if shorts:
        first = min(shorts, key=lambda origin: (origin.at, origin.version))
        refuse(Refusal.SHORT_LOT, version=first.version)
