"""Engine state: the starting value, which total PnL is measured from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ledger.amounts import ZERO, add
from ledger.effects import Effects


@dataclass(frozen=True, slots=True)
class EngineState:
    """starting_value:  in the numeraire; deposits add to it, withdrawals subtract from it, a baseline sets it."""

    starting_value: Decimal = ZERO


EMPTY = EngineState()


def starting_value_key(numeraire: str) -> str:
    """The key under which the trading engine looks up the starting value."""
    return f"paper.pnl_starting_value_{numeraire.lower()}"


def apply(state: EngineState, effects: Effects) -> EngineState:
    """The engine state after an event."""
    if effects.starting_value_delta.is_zero():
        return state
    return EngineState(add(state.starting_value, effects.starting_value_delta))
