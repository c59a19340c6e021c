"""The state of a book: all projections together, at one version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ledger.stored import StoredEvent
from projections import basis, engine_state, fees, inventory, marks
from projections.basis import Basis
from projections.engine_state import EngineState
from projections.fees import Fees
from projections.inventory import Inventory
from projections.marks import ALL_STAND, Marks, Standing


@dataclass(frozen=True, slots=True)
class BookState:
    """What a book's events add up to.

    version:  that of the newest event folded; 0 for none
    """

    version: int = 0
    inventory: Inventory = field(default_factory=lambda: inventory.EMPTY)
    basis: Basis = basis.EMPTY
    engine_state: EngineState = engine_state.EMPTY
    marks: Marks = field(default_factory=lambda: marks.EMPTY)
    fees: Fees = fees.EMPTY


EMPTY = BookState()


def apply(state: BookState, stored: StoredEvent, standing: Standing = ALL_STAND) -> BookState:
    """The state after one more event. `standing`: tells which marks stand."""
    effects = stored.effects
    return BookState(
        version=stored.version,
        inventory=inventory.apply(state.inventory, effects),
        basis=basis.apply(state.basis, stored),
        engine_state=engine_state.apply(state.engine_state, effects),
        marks=marks.apply(state.marks, stored, standing),
        fees=fees.apply(state.fees, stored),
    )


def fold(events: Iterable[StoredEvent], state: BookState = EMPTY, standing: Standing = ALL_STAND) -> BookState:
    """The state after all of the events. `state`: where to begin. `standing`: tells which marks stand."""
    for stored in events:
        state = apply(state, stored, standing)
    return state
