"""States that add up: what two ranges of a log move is the sum of what each of them moves; so are two books as one.

Marks do not add up, since a later event can take back an earlier mark; nor does the version of the standing initial basis.
Whoever combines states asks the log for both (`engine.columns.standing`, `projections.statements`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from ledger.amounts import ZERO, add
from projections.basis import Basis
from projections.engine_state import EngineState
from projections.fees import Fees
from projections.inventory import NOTHING, Holding, Inventory
from projections.marks import EMPTY as NO_MARKS
from projections.marks import Marks
from projections.state import BookState


def plus(left: BookState, right: BookState) -> BookState:
    """The sums of both, at the later of their versions; without marks and without an initial basis."""
    return BookState(
        version=max(left.version, right.version),
        inventory=_inventory(left.inventory, right.inventory),
        basis=_basis(left.basis, right.basis),
        engine_state=EngineState(add(left.engine_state.starting_value, right.engine_state.starting_value)),
        marks=NO_MARKS,
        fees=_fees(left.fees, right.fees),
    )


def pooled(left: BookState, right: BookState) -> BookState:
    """The sums of two books looked at as one, at no version; of two marks of one time, the right one counts.

    A deposit of unknown basis counts where its own book does not make up for it.
    """
    both = plus(left, right)
    unknown = sum(0 if basis.is_known else basis.unknown_bases for basis in (left.basis, right.basis))
    return replace(
        both, version=0, basis=replace(both.basis, unknown_bases=unknown), marks=_newest(left.marks, right.marks)
    )


def _newest(left: Marks, right: Marks) -> Marks:
    found = dict(left)
    for asset, mark in right.items():
        if asset not in found or found[asset].at <= mark.at:
            found[asset] = mark
    return MappingProxyType(found) if found else NO_MARKS


def _inventory(left: Inventory, right: Inventory) -> Inventory:
    moved = {asset: _both(left.get(asset, NOTHING), holding) for asset, holding in right.items()}
    return Inventory({**left, **moved})


def _both(left: Holding, right: Holding) -> Holding:
    return Holding(
        add(left.fills, right.fills), add(left.capital, right.capital), add(left.adjustments, right.adjustments)
    )


def _basis(left: Basis, right: Basis) -> Basis:
    """Every figure of a basis is a sum, but for the version of the initial one."""
    names = [field.name for field in fields(Basis) if field.name != "initial_basis_version"]
    sums: dict[str, Any] = {name: _sum(getattr(left, name), getattr(right, name)) for name in names}
    return Basis(**sums)


def _sum(left: Decimal | int, right: Decimal | int) -> Decimal | int:
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return add(left, right)
    return left + right


def _fees(left: Fees, right: Fees) -> Fees:
    paid: Mapping[str, Decimal] = {
        asset: add(left.paid.get(asset, ZERO), amount) for asset, amount in right.paid.items()
    }
    return Fees(MappingProxyType({**left.paid, **paid}), left.unknown + right.unknown)
