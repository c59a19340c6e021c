"""Engine state: the starting value moves with capital and baselines, and with nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.effects import Effects, Posting
from projections.engine_state import EMPTY, EngineState, apply, starting_value_key


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([], "0"),
        (["0"], "0"),
        (["137.284078", "50", "-20"], "167.284078"),
        (["1e-18", "-1"], "-0.999999999999999999"),
        (["99999999999999999999.999999999999999999"] * 2, "199999999999999999999.999999999999999998"),
    ],
)
def test_the_starting_value_is_the_sum_of_its_deltas(deltas: list[str], expected: str) -> None:
    state = EMPTY
    for delta in deltas:
        state = apply(state, Effects("deposit", starting_value_delta=Decimal(delta)))
    assert state.starting_value == Decimal(expected)


def test_nothing_else_moves_it() -> None:
    effects = Effects(
        "deposit",
        own=Posting("RLUSD", Decimal(1)),
        quote=Posting("RLUSD", Decimal(2)),
        fee=Posting("RLUSD", Decimal(3)),
        net_deposits_delta=Decimal(4),
        basis_delta=Decimal(5),
        unknown_fees=1,
        unknown_bases=1,
    )
    state = EngineState(Decimal("7"))
    assert apply(state, effects) == state


@pytest.mark.parametrize(
    ("numeraire", "key"),
    [
        ("RLUSD", "paper.pnl_starting_value_rlusd"),
        ("usd", "paper.pnl_starting_value_usd"),
        ("RLUSD.rMxCK", "paper.pnl_starting_value_rlusd.rmxck"),
    ],
)
def test_the_key_by_which_the_trading_engine_knows_it(numeraire: str, key: str) -> None:
    assert starting_value_key(numeraire) == key
