"""Profit and loss: a pure function of a book's state and the prices to value it at.

A figure that needs a price which nobody gave is None, and the asset stands in `missing_marks`; so does nothing else turn
into 0. Total PnL and trading value are one figure with two names: total value − starting value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ledger.amounts import subtract, total, value
from projections.inventory import Inventory
from projections.marks import Marks, Price
from projections.state import BookState


@dataclass(frozen=True, slots=True)
class Pnl:
    """All in the numeraire; `retained_profit` is also None while a basis is unknown. `fees` are per asset, own unit."""

    total_value: Decimal | None
    net_deposits: Decimal
    net_basis: Decimal
    starting_value: Decimal
    total_pnl: Decimal | None
    retained_profit: Decimal | None
    withdrawn_profit: Decimal
    missing_marks: tuple[str, ...]
    unknown_fees: int
    fees: Mapping[str, Decimal]
    marks: Mapping[str, Price]

    @property
    def trading_value(self) -> Decimal | None:
        """The same figure as total PnL."""
        return self.total_pnl


def pnl(state: BookState, prices: Marks, numeraire: str) -> Pnl:
    """Profit and loss of a state at `prices` (per asset; the numeraire's is 1)."""
    held = [asset for asset in state.inventory.held() if asset != numeraire]
    missing = tuple(asset for asset in held if asset not in prices)
    worth = None if missing else total_value(state.inventory, prices, numeraire)
    starting_value, basis = state.engine_state.starting_value, state.basis
    return Pnl(
        total_value=worth,
        net_deposits=basis.net_deposits,
        net_basis=basis.net_basis,
        starting_value=starting_value,
        total_pnl=None if worth is None else subtract(worth, starting_value),
        retained_profit=None if worth is None or not basis.is_known else subtract(worth, basis.net_basis),
        withdrawn_profit=basis.withdrawn_profit,
        missing_marks=missing,
        unknown_fees=state.fees.unknown,
        fees=state.fees.paid,
        marks={asset: prices[asset] for asset in held if asset in prices},
    )


def total_value(inventory: Inventory, prices: Marks, numeraire: str) -> Decimal:
    """Σ value(balance, price) over all assets held, each rounded once; every one of them needs a price."""
    return total(
        inventory.balance(asset) if asset == numeraire else value(inventory.balance(asset), prices[asset].price)
        for asset in inventory.held()
    )
