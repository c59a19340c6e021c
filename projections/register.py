"""The register: every posting in the order of the log, with the running balance of its asset.

An event that moves no balance has no posting. It has a row without one, which is shown when its type is asked for:

    version  type          asset  delta  balance  price  basis_delta  starting_value
          2  deposit       RLUSD     85       85                  85              85
          3  mark          XRP                      1.33
          4  basis_commit  RLUSD                              52.284
          5  baseline                                                       137.284
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ledger.amounts import ZERO, add
from ledger.effects import Posting
from ledger.events import MOVES_BASIS
from ledger.stored import StoredEvent
from projections.inventory import PART_OF

_MOVES_STARTING_VALUE = frozenset({"deposit", "withdrawal", "baseline"})


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """One posting, or one event without postings. None where the event does not have it.

    Asset, price, strategy and reason of a reversal are those of the event that it reverses; its deltas are negated.

    version, at, type, key:  of the event
    asset:                   the posting's, or else the event's own
    delta:                   the change of the balance, in the asset's unit; None without a posting
    balance:                 the asset's balance after it, in the asset's unit; None without a posting
    part:                    `fills`, `capital` or `adjustments`; None without a posting
    session_id, strategy:    of the event
    reverses:                the version that a reversal reverses
    reversed_by:             the version that reverses this event; None while it stands
    price:                   of a mark, deposit or withdrawal, in the numeraire
    basis_delta:             what it adds to net basis; None also for a deposit whose basis is unknown
    starting_value:          after the event, when it moves the starting value
    reason:                  of an adjustment or a baseline
    """

    version: int
    at: datetime
    type: str
    asset: str | None
    delta: Decimal | None
    balance: Decimal | None
    part: str | None
    session_id: str | None
    key: str
    reverses: int | None
    reversed_by: int | None
    strategy: str | None
    price: Decimal | None
    basis_delta: Decimal | None
    starting_value: Decimal | None
    reason: str | None

    @property
    def is_posting(self) -> bool:
        """Whether the row has a posting."""
        return self.delta is not None


@dataclass(frozen=True, slots=True)
class SkippedEvents:
    """Events of which no row is wanted, by what they add up to.

    balances:        by asset, in its own unit
    starting_value:  in the numeraire
    """

    balances: Mapping[str, Decimal]
    starting_value: Decimal


def register_rows(
    events: Iterable[StoredEvent | SkippedEvents],
    reversals: Mapping[int, int],
    *,
    balances: dict[str, Decimal] | None = None,
    starting_value: Decimal = ZERO,
) -> Iterator[RegisterRow]:
    """A row for each posting, and for each event without postings. `events`: in order from the book's first.

    `reversals`: by the version of a reversed event, the version that reverses it. `balances`, `starting_value`: what there
    was before the first of the events, where they are not the book's first; the balances are kept up to date.
    """
    balances = {} if balances is None else balances
    for stored in events:
        if isinstance(stored, SkippedEvents):
            starting_value = add(starting_value, stored.starting_value)
            balances |= {asset: add(balances.get(asset, ZERO), delta) for asset, delta in stored.balances.items()}
            continue
        starting_value = add(starting_value, stored.effects.starting_value_delta)
        reversed_by = reversals.get(stored.version)
        postings = False
        for posting in stored.effects.postings:
            postings = True
            balance = add(balances.get(posting.asset, ZERO), posting.delta)
            balances[posting.asset] = balance
            yield _row(stored, posting, balance, starting_value, reversed_by)
        if not postings:
            yield _row(stored, None, None, starting_value, reversed_by)


def _row(
    stored: StoredEvent,
    posting: Posting | None,
    balance: Decimal | None,
    starting_value: Decimal,
    reversed_by: int | None,
) -> RegisterRow:
    effects = stored.effects
    moves = effects.effect_of
    return RegisterRow(
        version=stored.version,
        at=stored.at,
        type=stored.type,
        asset=posting.asset if posting else stored.asset,
        delta=posting.delta if posting else None,
        balance=balance,
        part=PART_OF[moves] if posting else None,
        session_id=stored.session_id,
        key=stored.key,
        reverses=stored.reverses,
        reversed_by=reversed_by,
        strategy=stored.strategy,
        price=stored.price,
        basis_delta=effects.basis_delta if moves in MOVES_BASIS and not effects.unknown_bases else None,
        starting_value=starting_value if moves in _MOVES_STARTING_VALUE else None,
        reason=stored.reason,
    )
