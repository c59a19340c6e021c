"""Recording differences: small ones as adjustments, which are profit or loss; larger ones wait in the inbox for a name.

An unrecorded deposit that is adjusted away looks like profit for ever, so only what is worth little is adjusted, and
nothing of an asset that has a movement waiting. What is larger becomes one proposal for each asset, which a person names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.importers.reconcile.balances import Balances
from engine.importers.reconcile.comparing import Comparison, Difference, compare
from engine.inbox import Entry, Proposal
from engine.retrying import always, retry
from ledger.amounts import ZERO, add, amount_text
from ledger.appender import Outcome
from ledger.errors import VersionPassed
from ledger.events import Adjustment
from ledger.times import time_text
from projections.marks import Price

REASON = "reconciliation"
Action = Literal["nothing", "adjust", "propose", "wait"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person allows to be recorded.

    reason:  why; kept as the adjustments' source note
    most:    the worth of the largest difference that is adjusted, in the numeraire
    actor:   who decided it; None when not given
    """

    reason: str
    most: Decimal
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class AdjustmentReport:
    """A planned or carried out adjustment.

    comparison:  what was compared
    actions:     by asset, what becomes of its difference
    pnl_delta:   by how much the adjustments move PnL, in the numeraire
    outcomes:    the adjustments that were recorded; empty for a dry run
    proposed:    the proposals in the inbox; empty for a dry run
    withdrawn:   the earlier proposals that were withdrawn
    """

    comparison: Comparison
    actions: Mapping[str, Action]
    pnl_delta: Decimal
    outcomes: tuple[Outcome, ...] = ()
    proposed: tuple[Entry, ...] = ()
    withdrawn: tuple[Entry, ...] = ()

    @property
    def is_off(self) -> bool:
        """Whether something is off that is not adjusted."""
        return any(action in ("propose", "wait") for action in self.actions.values())


def plan_adjustment(comparison: Comparison, most: Decimal) -> AdjustmentReport:
    """What would become of each difference. `most`: see `Terms`."""
    actions = {each.asset: _action(each, most) for each in comparison.found}
    pnl_delta = ZERO
    for each in comparison.found:
        if actions[each.asset] == "adjust":
            assert each.worth is not None  # it has a price
            pnl_delta = add(pnl_delta, each.worth)
    return AdjustmentReport(comparison, actions, pnl_delta)


def _action(difference: Difference, most: Decimal) -> Action:
    if not difference.is_off:
        return "nothing"
    if difference.waits:
        return "wait"
    return "adjust" if difference.worth is not None and difference.worth.copy_abs() <= most else "propose"


def adjust(keeper: Bookkeeper, name: str, plan: AdjustmentReport, terms: Terms) -> AdjustmentReport:
    """Record a plan, in one transaction.

    Raises VersionPassed when the book has moved since it was planned, or something came into its inbox; Refused;
    StorageError.
    """
    head = plan.comparison.view.head

    def work() -> AdjustmentReport:
        with keeper.transaction(name) as transaction:
            connection, now = transaction.connection, keeper.now()
            waiting = inbox.entries(connection, name, sorts=("movement", "held"))
            has_come = {each.asset for each in plan.comparison.found if _waits(each, waiting) and not each.waits}
            if transaction.head.version != head.version or has_come:
                raise VersionPassed(name, head.version, transaction.head.version)
            outcomes = [transaction.append(_adjustment(each, head.version, terms)) for each in _those(plan, "adjust")]
            proposals = [_proposal(each, now) for each in _those(plan, "propose")]
            proposed = inbox.propose(connection, name, proposals, now)
            settled = {each.asset for each in plan.comparison.found} - {proposal.asset for proposal in proposals}
            withdrawn = inbox.withdraw_proposals(connection, name, now, assets=settled)
        return AdjustmentReport(
            plan.comparison, plan.actions, plan.pnl_delta, tuple(outcomes), tuple(proposed), tuple(withdrawn)
        )

    return retry(work, safe_to_repeat=always)


def _those(plan: AdjustmentReport, action: Action) -> list[Difference]:
    return [each for each in plan.comparison.found if plan.actions[each.asset] == action]


def _waits(difference: Difference, waiting: list[Entry]) -> bool:
    return any(entry.asset in (None, difference.asset) for entry in waiting)


def _adjustment(difference: Difference, version: int, terms: Terms) -> Adjustment:
    fields = {
        "asset": difference.asset,
        "amount": difference.difference,
        "reason": REASON,
        "source_note": terms.reason,
        "at": difference.at,
        "actor": terms.actor,
        # Of this state of the book: the same difference found again later is another one.
        "key": f"reconcile:{difference.asset}:{version}:{time_text(difference.at)}",
    }
    return Adjustment.model_validate({name: given for name, given in fields.items() if given is not None})


def _proposal(difference: Difference, now: datetime) -> Proposal:
    worth = "of unknown worth" if difference.worth is None else f"worth {amount_text(difference.worth)}"
    detail = f"the venue has {amount_text(difference.actual)}, the book {amount_text(difference.expected)}; {worth}"
    if difference.cause is not None:
        detail += f"; perhaps {difference.cause}"
    return Proposal(difference.asset, difference.difference, min(difference.at, now), detail)


def reconciled(
    keeper: Bookkeeper,
    name: str,
    balances: Balances,
    *,
    at: datetime | None,
    prices: Mapping[str, Price],
    most: Decimal,
) -> AdjustmentReport:
    """Compare a book with balances, and plan what adjusting would do. Nothing is written. Raises as `compare`."""
    found = compare(keeper.database, name, balances, at=at, now=keeper.now(), prices=prices)
    return plan_adjustment(found, most)
