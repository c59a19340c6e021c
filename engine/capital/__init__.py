"""Capital in and out: `inject`, `withdraw`, `backfill_basis` and `reverse`, each one transaction.

A request is what a person asked for, as a frozen value. A plan is the event that the request becomes in a book's present
state, with the figures before and after it. A dry run plans from a read-only view; a real run plans under the book's lock
and appends in the same transaction, so nothing can change between reading and recording. `request` carries both out;
`injection`, `withdrawal`, `initial_basis` and `reversal` are the requests.
"""

from engine.capital.initial_basis import InitialBasisPlan, backfill_basis
from engine.capital.injection import Injection, inject
from engine.capital.request import BeforeAfter, Movement, RequestOutcome
from engine.capital.reversal import ReversalPlan, reverse
from engine.capital.withdrawal import Payout, plan_payout, withdraw

__all__ = [
    "BeforeAfter",
    "InitialBasisPlan",
    "Injection",
    "Movement",
    "Payout",
    "RequestOutcome",
    "ReversalPlan",
    "backfill_basis",
    "inject",
    "plan_payout",
    "reverse",
    "withdraw",
]
