"""Cost basis of a book or a pool at a moment: its events read and folded by a method; see `projections.cost_basis`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from engine.pool import Pool, pool_within, read_pooled
from engine.views import NOW, Moment
from ledger.database.connections import Database
from ledger.errors import Refusal, shown
from ledger.events import MOVES_BALANCE
from ledger.progress import OnProgress, counting
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE
from projections.cost_basis import CostBasisFold, standing_order
from projections.cost_figures import CostBasis
from projections.lots import METHODS
from projections.rates import Rates, rates_of

TYPES = (*MOVES_BALANCE, "baseline", "mark", "reversal")
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
    """A book or a pool at a moment, and its cost basis.

    pool:   the books
    basis:  their lots and what was realised
    rates:  of the currency that amounts are also in; None where none was asked for
    """

    pool: Pool
    basis: CostBasis
    rates: Rates | None = None


def basis_at(
    database: Database,
    names: Iterable[str],
    method: CostMethod,
    moment: Moment = NOW,
    *,
    now: datetime,
    currency: str | None = None,
    on_progress: OnProgress | None = None,
) -> BasisView:
    """The cost basis of the events of one book or of a pool that count at a moment, with amounts also in a currency.

    Raises Refused `short_lot` with `no_shorts`, naming the version; what `engine.pool.pool_at` raises.
    """
    with database.reading() as connection:
        pool = pool_within(connection, names, moment, now=now)
        names = [book.name for book in pool.books]
        found = standing_events(connection, names, moment, now=now, on_progress=on_progress)
    rates = None if currency is None else rates_of(currency, pool.numeraire, found)
    fold = CostBasisFold(pool.numeraire, METHODS[method.name], fees_in_cost=method.fees_in_cost, rates=rates)
    basis = fold.run(found)
    if method.no_shorts:
        _require_no_shorts(basis, pool)
    return BasisView(pool, basis, rates)


def standing_events(
    connection: Connection,
    names: Iterable[str],
    moment: Moment,
    *,
    now: datetime,
    on_progress: OnProgress | None = None,
) -> list[StoredEvent]:
    """The events that stand at a moment and move a balance, a value or a price, in the order of `at`, book and version.

    Marks ahead of the clock do not count, nor do transfers within a pool.
    """
    pool = set(names)
    read = (stored for name in sorted(pool) for stored in read_pooled(connection, name, moment, pool, TYPES))
    counted = counting(read, on_progress)
    return [stored for stored in standing_order(counted) if stored.type != "mark" or stored.at <= now + CLOCK_TOLERANCE]


def _require_no_shorts(basis: CostBasis, pool: Pool) -> None:
    shorts = [lot.origin for lot in basis.open_lots() if lot.quantity < 0]
    shorts += [disposal.opened for disposal in basis.disposals if disposal.is_short]
    if shorts:
        first = min(shorts, key=lambda origin: (origin.at, origin.book, origin.version))
        version = f"{first.version} of the book {shown(first.book)}" if pool.is_several else first.version
        refuse(Refusal.SHORT_LOT, version=version)
