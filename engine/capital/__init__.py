"""Capital in, out and between books: `inject`, `withdraw`, `transfer`, `backfill_basis` and `reverse`, each one transaction.

A request is what a person asked for, as a frozen value. A plan is the event that the request becomes in a book's present
state, with the figures before and after it. A dry run plans from a read-only view; a real run plans under the book's lock
and appends in the same transaction, so nothing can change between reading and recording. `request` carries both out;
`injection`, `withdrawal`, `initial_basis` and `reversal` are the requests.
"""

from engine.capital.initial_basis import InitialBasisPlan, backfill_basis
from engine.capital.injection import Injection, inject
from engine.capital.linking import LinkOutcome, LinkPlan, Place, link
from engine.capital.request import BeforeAfter, Movement, RequestOutcome
from engine.capital.reversal import OtherSide, ReversalPlan, reverse
from engine.capital.transfer import Fee, TransferOutcome, TransferPlan, TransferRequest, transfer, transfer_within
from engine.capital.withdrawal import Payout, plan_payout, withdraw

__all__ = [
    "BeforeAfter",
    "Fee",
    "InitialBasisPlan",
    "Injection",
    "LinkOutcome",
    "LinkPlan",
    "Movement",
    "OtherSide",
    "Payout",
    "Place",
    "RequestOutcome",
    "ReversalPlan",
    "TransferOutcome",
    "TransferPlan",
    "TransferRequest",
    "backfill_basis",
    "inject",
    "link",
    "plan_payout",
    "reverse",
    "transfer",
    "transfer_within",
    "withdraw",
]
