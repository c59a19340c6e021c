"""How a withdrawal divides into profit and principal: one function for each policy.

A policy is chosen when a book is opened. The evidence of every withdrawal names it, with its version.

    equity 200, basis 150, withdrawal 80      profit_first/1:    profit 50, principal 30; basis_delta −30
                                              principal_first/1: profit  0, principal 80; basis_delta −80
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ledger.amounts import ZERO, amount_text, negate, subtract
from ledger.errors import Refusal, Refused


@dataclass(frozen=True, slots=True)
class Classification:
    """The parts of a withdrawal, in the numeraire. They add up to its value; neither is negative.

    profit:     what leaves as profit
    principal:  what leaves as committed capital
    """

    profit: Decimal
    principal: Decimal

    @property
    def basis_delta(self) -> Decimal:
        """What the withdrawal adds to net basis: −principal."""
        return negate(self.principal)


def classify_withdrawal_basis(withdrawal: Decimal, equity_before: Decimal, basis_before: Decimal) -> Classification:
    """Profit leaves first (`profit_first/1`).

        profit = min(withdrawal, max(equity_before − basis_before, 0));  principal = withdrawal − profit

    `withdrawal`: its value, ≥ 0. `equity_before`, `basis_before`: equity and net basis before it. All in the numeraire. In
    a drawdown everything is principal. Nothing is rounded, however small. Raises Refused `amount_must_not_be_negative`.
    """
    _require_not_negative(withdrawal)
    profit = min(withdrawal, max(subtract(equity_before, basis_before), ZERO))
    return Classification(profit, subtract(withdrawal, profit))


def classify_principal_first(withdrawal: Decimal, equity_before: Decimal, basis_before: Decimal) -> Classification:
    """Principal leaves first (`principal_first/1`): capital is paid back before profit is taken.

        principal = min(withdrawal, max(basis_before, 0));  profit = withdrawal − principal

    Arguments and errors as for `classify_withdrawal_basis`; the equity is not used.
    """
    del equity_before
    _require_not_negative(withdrawal)
    principal = min(withdrawal, max(basis_before, ZERO))
    return Classification(subtract(withdrawal, principal), principal)


def _require_not_negative(withdrawal: Decimal) -> None:
    if withdrawal < 0:
        raise Refused(
            Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE,
            "a withdrawal is not negative",
            expected="a value ≥ 0",
            actual=amount_text(withdrawal),
        )


Policy = Callable[[Decimal, Decimal, Decimal], Classification]

POLICIES: dict[str, Policy] = {
    "profit_first/1": classify_withdrawal_basis,
    "principal_first/1": classify_principal_first,
}


def policy_named(name: str) -> Policy:
    """The policy with a name such as `profit_first/1`. Raises Refused `policy_unknown`."""
    policy = POLICIES.get(name)
    if policy is None:
        raise Refused(
            Refusal.POLICY_UNKNOWN,
            "there is no such withdrawal policy",
            expected=f"one of {', '.join(POLICIES)}",
            actual=name,
            field="withdrawal_policy",
        )
    return policy
