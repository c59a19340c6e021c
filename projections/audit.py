"""The history of the basis, line by line: every deposit, withdrawal and basis commit, and their reversals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from ledger.amounts import ZERO, add
from ledger.events import Withdrawal
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One movement of the basis, including movements of 0. `amount` is in the asset's unit, all else in the numeraire.

    version, at, type:            of the event
    asset, amount, price:         of the event; None where it has none
    equity_before, basis_before:  from a withdrawal's evidence; None without evidence
    profit, principal:            from a withdrawal's evidence; None without evidence
    basis_delta:                  what it adds to net basis; None for a deposit whose basis is unknown (it counts 0)
    basis_after:                  net basis after it
    actor, tx_hash:               of the event; None when not given
    source_note:                  of the event; for a reversal without a note, its reason; None when neither was given
    event_id, hash:               of the event
    reverses:                     the version that a reversal reverses; None for other events
    reversed_by:                  the version that reverses this event; None while it stands
    """

    version: int
    at: datetime
    type: str
    asset: str | None
    amount: Decimal | None
    price: Decimal | None
    equity_before: Decimal | None
    basis_before: Decimal | None
    profit: Decimal | None
    principal: Decimal | None
    basis_delta: Decimal | None
    basis_after: Decimal
    actor: str | None
    source_note: str | None
    tx_hash: str | None
    event_id: str
    hash: bytes
    reverses: int | None
    reversed_by: int | None


def audit_rows(
    events: Iterable[StoredEvent],
    reversals: Mapping[int, int] = MappingProxyType({}),
    *,
    basis_before: Decimal = ZERO,
) -> Iterator[AuditRow]:
    """A row for each event. `events`: all events of the book that can move the basis, in order from the first.

    `reversals`: by the version of a reversed event, the version that reverses it. `basis_before`: net basis before the first
    of the events, where it is not the book's first.
    """
    net_basis = basis_before
    for stored in events:
        net_basis = add(net_basis, stored.effects.basis_delta)
        yield _row(stored, net_basis, reversals.get(stored.version))


def _row(stored: StoredEvent, basis_after: Decimal, reversed_by: int | None) -> AuditRow:
    event, effects = stored.event, stored.effects
    evidence = event.evidence if isinstance(event, Withdrawal) else None
    moved = effects.own.delta if effects.own else None
    return AuditRow(
        version=stored.version,
        at=stored.at,
        type=stored.type,
        asset=stored.asset,
        amount=moved if stored.type == "reversal" else getattr(event, "amount", None),
        price=stored.price,
        equity_before=evidence.equity_before if evidence else None,
        basis_before=evidence.basis_before if evidence else None,
        profit=evidence.profit if evidence else None,
        principal=evidence.principal if evidence else None,
        basis_delta=None if effects.unknown_bases else effects.basis_delta,
        basis_after=basis_after,
        actor=event.actor,
        source_note=event.source_note or getattr(event, "reason", None),
        tx_hash=event.tx_hash,
        event_id=stored.event_id,
        hash=stored.hash,
        reverses=stored.reverses,
        reversed_by=reversed_by,
    )
