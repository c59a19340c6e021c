"""The two sides of a transfer belong together: a withdrawal in one book and a deposit in the other, with one id.

    book a  withdrawal 50 RLUSD, basis −30, transfer {id: T, book: b}
    book b  deposit    50 RLUSD, basis +30, transfer {id: T, book: a}

A transaction that records or reverses one side without the other is refused at its end, however it was written, so a sound
ledger that has both books has both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.amounts import add
from ledger.effects import Effects, Posting
from ledger.errors import Refusal
from ledger.events import Deposit, Event, Reversal, TransferSide, Withdrawal
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a transfer, or the reversal of one.

    stored:  the event
    of:      the transfer that it is a side of, and the book on the other side
    """

    stored: StoredEvent
    of: TransferSide


def transfer_of(event: Event) -> TransferSide | None:
    """The transfer that an event is a side of; None for any other event."""
    return event.transfer if isinstance(event, Deposit | Withdrawal) else None


def side_of(stored: StoredEvent, event: Event, side_at: Callable[[int], TransferSide | None]) -> Side:
    """The side that an event is, or that a reversal takes back. `side_at`: the transfer of the event at a version."""
    found = side_at(event.reverses) if isinstance(event, Reversal) else transfer_of(event)
    assert found is not None  # the column `reason` said so
    return Side(stored, found)


def require_paired(sides: Sequence[Side]) -> None:
    """Raises Refused `transfer_unpaired` unless each side has its other side among them."""
    there: dict[tuple[str, bool], list[Side]] = {}
    for side in sides:
        there.setdefault((side.of.id, side.stored.reverses is not None), []).append(side)
    for (id_, _), found in there.items():
        if len(found) != 2 or not are_a_pair(*found):
            refuse(Refusal.TRANSFER_UNPAIRED, actual=f"{len(found)} side" + ("s" if len(found) != 1 else ""), id=id_)


def are_a_pair(left: Side, right: Side) -> bool:
    """Whether two sides name each other, and what they move cancels."""
    named = (left.of.id, left.of.book, right.of.book) == (right.of.id, right.stored.book, left.stored.book)
    return named and cancel(left.stored.effects, right.stored.effects)


def cancel(left: Effects, right: Effects) -> bool:
    """Whether what two events move adds up to nothing: the asset, net deposits, basis and starting value."""
    if {left.effect_of, right.effect_of} != {"deposit", "withdrawal"}:
        return False
    sums = (
        add(left.net_deposits_delta, right.net_deposits_delta),
        add(left.basis_delta, right.basis_delta),
        add(left.starting_value_delta, right.starting_value_delta),
    )
    return _opposite(left.own, right.own) and all(figure.is_zero() for figure in sums)


def _opposite(left: Posting | None, right: Posting | None) -> bool:
    if left is None or right is None:
        return False
    return left.asset == right.asset and add(left.delta, right.delta).is_zero()
