"""A book's state after many rows at once, from their sums: what `projections.state.fold` gives for the same rows.

The pure folds are the specification; a test compares the two on the logs that it invents. Only what rows of the common
types move is here: they add to balances, fees, net deposits and basis, and state prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from ledger.amounts import ZERO, add, subtract
from ledger.integrity.tally import RawMark, Tally
from ledger.times import parse_time
from projections.basis import Basis
from projections.engine_state import EngineState
from projections.fees import Fees
from projections.inventory import NOTHING, PART_OF, Holding, Inventory
from projections.marks import Marks, Price
from projections.state import BookState


def after(state: BookState, tally: Tally) -> BookState:
    """The state after the rows that a tally sums up."""
    return BookState(
        version=tally.version,
        inventory=_inventory(state.inventory, tally.postings),
        basis=_basis(state.basis, tally),
        engine_state=_engine_state(state.engine_state, tally.net_deposits),
        marks=_marks(state.marks, tally.marks),
        fees=_fees(state.fees, tally),
    )


def _inventory(inventory: Inventory, postings: Mapping[str, Mapping[str, Decimal]]) -> Inventory:
    moved: dict[str, Holding] = {}
    for asset, deltas in postings.items():
        holding = inventory.get(asset, NOTHING)
        for kind, delta in deltas.items():
            holding = holding.moved(PART_OF[kind], delta)
        moved[asset] = holding
    return Inventory({**inventory, **moved}) if moved else inventory


def _basis(basis: Basis, tally: Tally) -> Basis:
    """Of the common types only deposits move it."""
    return replace(
        basis,
        net_basis=add(basis.net_basis, tally.basis),
        net_deposits=add(basis.net_deposits, tally.net_deposits),
        deposit_basis_excess=add(basis.deposit_basis_excess, subtract(tally.basis, tally.net_deposits)),
        unknown_bases=basis.unknown_bases + tally.unknown_bases,
    )


def _engine_state(state: EngineState, deposits: Decimal) -> EngineState:
    """A deposit adds its value to the starting value, too."""
    return EngineState(add(state.starting_value, deposits))


def _marks(marks: Marks, newest: Mapping[str, RawMark]) -> Marks:
    found = dict(marks)
    for asset, raw in newest.items():
        price = Price(Decimal(raw.price), raw.source, parse_time(raw.at), raw.version)
        before = marks.get(asset)
        if before is None or (before.at, before.version or 0) <= (price.at, raw.version):
            found[asset] = price
    return MappingProxyType(found) if newest else marks


def _fees(fees: Fees, tally: Tally) -> Fees:
    paid = {asset: add(fees.paid.get(asset, ZERO), amount) for asset, amount in tally.fees.items()}
    return Fees(MappingProxyType({**fees.paid, **paid}), fees.unknown + tally.unknown_fees)
