"""Profit and loss: a pure function of a book's state and the prices to value it at.

A figure that needs a price which nobody gave is None, and the asset stands in `missing_marks`; so does nothing else turn
into 0. Total PnL and trading value are one figure with two names: total value − starting value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ledger.amounts import ZERO, subtract, total, value
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


def change(start: Pnl, end: Pnl) -> Pnl:
    """What changed between two ends: end − start, figure by figure; None where an end is unknown."""
    fees = {
        asset: subtract(end.fees.get(asset, ZERO), start.fees.get(asset, ZERO))
        for asset in sorted({*start.fees, *end.fees})
    }
    return Pnl(
        total_value=_difference(start.total_value, end.total_value),
        net_deposits=subtract(end.net_deposits, start.net_deposits),
        net_basis=subtract(end.net_basis, start.net_basis),
        starting_value=subtract(end.starting_value, start.starting_value),
        total_pnl=_difference(start.total_pnl, end.total_pnl),
        retained_profit=_difference(start.retained_profit, end.retained_profit),
        withdrawn_profit=subtract(end.withdrawn_profit, start.withdrawn_profit),
        missing_marks=tuple(sorted({*start.missing_marks, *end.missing_marks})),
        unknown_fees=end.unknown_fees - start.unknown_fees,
        fees=fees,
        marks={},
    )


def _difference(start: Decimal | None, end: Decimal | None) -> Decimal | None:
    return None if start is None or end is None else subtract(end, start)


def total_value(inventory: Inventory, prices: Marks, numeraire: str) -> Decimal:
    """Σ value(balance, price) over all assets held, each rounded once; every one of them needs a price."""
    return total(
        inventory.balance(asset) if asset == numeraire else value(inventory.balance(asset), prices[asset].price)
        for asset in inventory.held()
    )
