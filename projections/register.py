"""The register: every posting, event by event, with the running balance of its asset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ledger.amounts import ZERO, add
from ledger.stored import StoredEvent
from projections.inventory import PART_OF


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """One posting; `delta` and `balance` (the asset's total after it) in the asset's own unit.

    `part`: fills, capital or adjustments. `reverses`, `reversed_by`: versions that tie an event and its reversal.
    """

    version: int
    at: datetime
    type: str
    asset: str
    delta: Decimal
    balance: Decimal
    part: str
    session_id: str | None
    key: str
    reverses: int | None
    reversed_by: int | None


def register_rows(events: Iterable[StoredEvent], reversals: Mapping[int, int]) -> Iterator[RegisterRow]:
    """A row for each posting of the events, which come in order from the first.

    `reversals` has, by the version of a reversed event, the version of its reversal.
    """
    balances: dict[str, Decimal] = {}
    for event in events:
        for posting in event.effects.postings:
            balance = add(balances.get(posting.asset, ZERO), posting.delta)
            balances[posting.asset] = balance
            yield RegisterRow(
                version=event.version,
                at=event.at,
                type=event.type,
                asset=posting.asset,
                delta=posting.delta,
                balance=balance,
                part=PART_OF[event.effects.effect_of],
                session_id=event.session_id,
                key=event.key,
                reverses=event.reverses,
                reversed_by=reversals.get(event.version),
            )
