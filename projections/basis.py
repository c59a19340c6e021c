"""Basis: committed capital, and the figures that bridge it to net deposits.

    net basis = net deposits + withdrawn profit + transferred profit
                + Σ basis commits + Σ (basis_delta − value) over deposits

Profit that moves to another book of the ledger is neither withdrawn here nor lost there: it has a term of its own, of
opposite sign in the two books, so that over all books it is 0. The equation holds after every event, no matter how the
withdrawals were classified (the invariant `basis_bridge`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from ledger.amounts import ZERO, add, subtract
from ledger.events import MOVES_BASIS, TRANSFER
from ledger.stored import StoredEvent

INITIAL_BASIS_KEY = "synthetic_initial_basis"


@dataclass(frozen=True, slots=True)
class Basis:
    """The basis after some events. Amounts are in the numeraire.

    net_basis:              committed capital, Σ basis_delta
    net_deposits:           value of deposits − value of withdrawals, each at its own price
    withdrawn_profit:       Σ (value + basis_delta) over withdrawals other than transfers: their profit parts
    transferred_profit:     Σ (basis_delta − Δ net deposits) over transfers: > 0 what went to other books, < 0 what came
    basis_commits:          Σ basis_delta over basis commits
    deposit_basis_excess:   Σ (basis_delta − value) over deposits other than transfers
    unknown_bases:          how many standing deposits have an unknown basis
    initial_basis_version:  the version of the standing synthetic initial basis; None without one
    """

    net_basis: Decimal = ZERO
    net_deposits: Decimal = ZERO
    withdrawn_profit: Decimal = ZERO
    basis_commits: Decimal = ZERO
    deposit_basis_excess: Decimal = ZERO
    unknown_bases: int = 0
    initial_basis_version: int | None = None
    transferred_profit: Decimal = ZERO

    @property
    def is_known(self) -> bool:
        """Whether net basis is complete: no basis is unknown, or a synthetic initial basis makes up for it."""
        return self.unknown_bases == 0 or self.initial_basis_version is not None


EMPTY = Basis()


def apply(basis: Basis, stored: StoredEvent) -> Basis:
    """The basis after an event."""
    effects = stored.effects
    if effects.effect_of not in MOVES_BASIS:
        return basis
    # Each type's basis_delta − value goes into its own term of the bridge.
    excess = subtract(effects.basis_delta, effects.net_deposits_delta)
    moved = replace(
        basis,
        net_basis=add(basis.net_basis, effects.basis_delta),
        net_deposits=add(basis.net_deposits, effects.net_deposits_delta),
        unknown_bases=basis.unknown_bases + effects.unknown_bases,
        initial_basis_version=_initial_basis_version(basis, stored),
    )
    match effects.effect_of:
        case _ if stored.reason == TRANSFER:
            return replace(moved, transferred_profit=add(basis.transferred_profit, excess))
        case "deposit":
            return replace(moved, deposit_basis_excess=add(basis.deposit_basis_excess, excess))
        case "withdrawal":
            return replace(moved, withdrawn_profit=add(basis.withdrawn_profit, excess))
        case _:
            return replace(moved, basis_commits=add(basis.basis_commits, excess))


def is_initial_basis(type_: str, key: str) -> bool:
    """Whether an event of a type and a key commits an initial basis."""
    return type_ == "basis_commit" and key.split("#")[0] == INITIAL_BASIS_KEY


def _initial_basis_version(basis: Basis, stored: StoredEvent) -> int | None:
    if is_initial_basis(stored.type, stored.key):
        return stored.version
    if stored.reverses is not None and stored.reverses == basis.initial_basis_version:
        return None
    return basis.initial_basis_version


def bridge(basis: Basis) -> Decimal:
    """Net basis, computed from the right-hand side of the bridge."""
    profit_and_deposits = add(basis.net_deposits, add(basis.withdrawn_profit, basis.transferred_profit))
    return add(profit_and_deposits, add(basis.basis_commits, basis.deposit_basis_excess))
