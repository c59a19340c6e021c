"""Profit and loss: a pure function of a book's state and prices.

A figure is None when it needs a price that is missing; `missing_marks` names the asset. Unknown never becomes 0. Total PnL
and trading value are two names of one figure: total value − starting value.
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
    """Profit and loss, in the numeraire unless stated otherwise.

    total_value:       Σ balance × price (equity); None when a mark is missing
    net_deposits:      value of deposits − value of withdrawals, each at its own price
    net_basis:         committed capital
    starting_value:    what total PnL is measured from
    total_pnl:         total value − starting value; None when a mark is missing
    retained_profit:   total value − net basis; None when a mark is missing or a basis is unknown
    withdrawn_profit:  the profit parts of withdrawals
    transferred_profit: what of the profit went to other books of the ledger; negative: came from them
    missing_marks:     the assets held that have no price
    unknown_fees:      how many fills have an unknown fee
    fees:              fees paid, by asset, in its own unit
    marks:             the prices used, by asset
    """

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
    transferred_profit: Decimal = ZERO

    @property
    def trading_value(self) -> Decimal | None:
        """The same as `total_pnl`."""
        return self.total_pnl


def pnl(state: BookState, prices: Marks, numeraire: str) -> Pnl:
    """Profit and loss of a state. `prices`: by asset; the numeraire needs none."""
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
        transferred_profit=basis.transferred_profit,
    )


def change(start: Pnl, end: Pnl) -> Pnl:
    """The change of each figure between two moments, end − start; None where either is unknown."""
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
        transferred_profit=subtract(end.transferred_profit, start.transferred_profit),
    )


def _difference(start: Decimal | None, end: Decimal | None) -> Decimal | None:
    return None if start is None or end is None else subtract(end, start)


def total_value(inventory: Inventory, prices: Marks, numeraire: str) -> Decimal:
    """Σ value(balance, price) over all assets held, in the numeraire, each value rounded once.

    `prices` must have every asset held other than the numeraire.
    """
    return total(
        inventory.balance(asset) if asset == numeraire else value(inventory.balance(asset), prices[asset].price)
        for asset in inventory.held()
    )
