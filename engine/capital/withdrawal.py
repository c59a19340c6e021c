"""`withdraw`: take capital out, divided into profit and principal by the book's policy.

A worked example, numeraire RLUSD: equity 188.15625911, basis 187.284078, withdraw 20. There is 0.87218111 of profit, which
leaves first; 19.12781889 is principal. Afterwards basis and equity are 168.15625911, and PnL is unchanged.

A withdrawal is decided on the book's present state. One whose `at` is before other movements is refused, unless the caller
says that it is recorded late. Then it is decided on the present state all the same: equity comes from the newest marks, the
price of the withdrawn asset from the withdrawal's `at`, and the evidence says that it is late and has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.bookkeeper import Bookkeeper
from engine.capital.request import BeforeAfter, Movement, RequestOutcome, Situation, carry_out
from engine.inbox import require_nothing_pending
from engine.policy.evidence import evidence_for, late_evidence
from engine.policy.valuation import MAX_MARK_AGE, fresh_price, fresh_prices
from ledger import store
from ledger.amounts import ZERO, add, amount_text, negate, subtract
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import Evidence, Withdrawal, undeclared
from ledger.refusal_texts import refuse
from ledger.rules import capital_value, require_not_ahead, with_normal_hash
from ledger.times import CLOCK_TOLERANCE, time_text
from projections.marks import Price
from projections.state import BookState


@dataclass(frozen=True, slots=True)
class Payout:
    """A planned and classified withdrawal. All in the numeraire.

    event:      the withdrawal
    evidence:   what it was classified from
    value:      its value
    equity:     before and after it
    net_basis:  before and after it
    total_pnl:  before and after it; they are equal
    """

    event: Withdrawal
    evidence: Evidence
    value: Decimal
    equity: BeforeAfter
    net_basis: BeforeAfter
    total_pnl: BeforeAfter


@dataclass(frozen=True, slots=True)
class Lateness:
    """A withdrawal is decided after its `at`.

    decided_at:  when, UTC
    own_price:   the withdrawn asset's price at the withdrawal's `at`; None for the numeraire
    """

    decided_at: datetime
    own_price: Price | None


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """Capital to be taken out.

    movement:      what is withdrawn
    prices:        by asset; they take precedence over the newest marks
    max_mark_age:  how old a mark may be
    may_be_late:   allow an `at` before other movements
    even_so:       decide it although imported movements wait in the inbox; the evidence says so
    """

    movement: Movement
    prices: Mapping[str, Price] = field(default_factory=dict)
    max_mark_age: timedelta = MAX_MARK_AGE
    may_be_late: bool = False
    even_so: bool = False

    def event(self, book: Book) -> Withdrawal:
        """The withdrawal as it was given. The classification is filled in, so a duplicate is not compared by it."""
        fields = self.movement.fields(book) | {"basis_delta": ZERO}
        return undeclared(Withdrawal.model_validate(fields), "basis_delta")

    def plan(self, situation: Situation) -> Payout:
        """The withdrawal, classified. Raises Refused."""
        event = with_normal_hash(self.event(situation.book))
        pending = require_nothing_pending(situation.connection, situation.book.name, even_so=self.even_so) or None
        require_not_ahead(event.at, situation.now)
        if event.at is not None and _is_late(event.at, situation, may_be_late=self.may_be_late):
            return self._plan_late(event, event.at, situation, pending)
        state = replace(situation.state, marks=situation.marks(event.at))
        at = event.at or situation.now
        prices = {asset: _then(price, at) for asset, price in self.prices.items()}
        return plan_payout(event, situation.book, state, prices, at=at, max_mark_age=self.max_mark_age, pending=pending)

    def _plan_late(self, event: Withdrawal, at: datetime, situation: Situation, pending: int | None) -> Payout:
        """Decide on the present state; a given price of the withdrawn asset is its price at the withdrawal's `at`."""
        own_price = None
        if event.asset != situation.book.numeraire:
            known = self.prices.get(event.asset) or situation.mark_at(event.asset, at)
            own_price = _then(fresh_price(event.asset, known, at=at, max_mark_age=self.max_mark_age), at)
        return plan_payout(
            event,
            situation.book,
            replace(situation.state, marks=situation.marks(None)),
            {asset: price for asset, price in self.prices.items() if asset != event.asset},
            at=situation.now,
            max_mark_age=self.max_mark_age,
            late=Lateness(situation.now, own_price),
            pending=pending,
        )


def withdraw(
    keeper: Bookkeeper,
    name: str,
    movement: Movement,
    *,
    prices: Mapping[str, Price] | None = None,
    max_mark_age: timedelta = MAX_MARK_AGE,
    late: bool = False,
    even_so: bool = False,
    dry_run: bool = False,
) -> RequestOutcome[Payout]:
    """Take capital out, divided into profit and principal by the book's policy, from equity and basis before it.

    `prices`: by asset; they take precedence over the newest marks. Every asset held needs a price or a mark. `late`: allow
    an `at` before other movements, and decide on the present state all the same. `even_so`: decide it although imported
    movements wait in the inbox, which the evidence says. Raises Refused `inbox_pending`, `basis_incomplete`,
    `insufficient_balance`, `mark_missing`, `mark_stale`, `exceeds_equity`, `at_in_future`, `decision_out_of_order`, …;
    Conflict; StorageError.
    """
    request = WithdrawalRequest(movement, prices or {}, max_mark_age, late, even_so)
    return carry_out(keeper, name, request, dry_run=dry_run)


def _then(price: Price, at: datetime) -> Price:
    """A price that was given with the command counts as one of the withdrawal's time."""
    return replace(price, at=min(price.at, at))


def _is_late(at: datetime, situation: Situation, *, may_be_late: bool) -> bool:
    """Whether there are movements after `at`. Raises Refused `decision_out_of_order` when that is not allowed."""
    first, last = store.times_of_movements(situation.connection, situation.book.name, until=situation.now)
    if first is not None and at < first:
        raise Refused(
            Refusal.DECISION_OUT_OF_ORDER,
            "at that time nothing had moved in the book yet",
            expected=f"an at of {time_text(first)} or later",
            actual=time_text(at),
            advice="check the date",
            field="at",
        )
    is_late = last is not None and last - at > CLOCK_TOLERANCE
    if last is not None and is_late and not may_be_late:
        raise Refused(
            Refusal.DECISION_OUT_OF_ORDER,
            "balances have moved since then, and a withdrawal is classified on the book's present state",
            expected=f"an at of {time_text(last - CLOCK_TOLERANCE)} or later",
            actual=time_text(at),
            advice="give --late to classify it on the present state and keep its own at",
            field="at",
        )
    return is_late


def plan_payout(
    event: Withdrawal,
    book: Book,
    state: BookState,
    prices: Mapping[str, Price],
    *,
    at: datetime,
    max_mark_age: timedelta = MAX_MARK_AGE,
    late: Lateness | None = None,
    pending: int | None = None,
) -> Payout:
    """The withdrawal, classified on a state of the book; the event's own basis_delta is ignored.

    `prices`: take precedence over the state's marks. `at`: when it is decided, from which the age of marks is measured.
    `late`: for a withdrawal with an earlier `at` of its own; otherwise None. `pending`: how many imported movements wait
    all the same; None for none. Raises Refused as `withdraw` does.
    """
    _require_known_basis(state)
    _require_balance(event, state)
    known = fresh_prices(state, book, prices, at=at, max_mark_age=max_mark_age)
    return _classified(event, book, state, known, late, pending)


def _classified(
    event: Withdrawal,
    book: Book,
    state: BookState,
    prices: Mapping[str, Price],
    late: Lateness | None,
    pending: int | None,
) -> Payout:
    own_price = late.own_price if late else prices.get(event.asset)
    price = None if own_price is None or event.asset == book.numeraire else own_price.price
    worth = capital_value(event.asset, event.amount, price, book.numeraire)
    said = late_evidence(event.asset, late.own_price, decided_at=late.decided_at) if late else None
    evidence = evidence_for(worth, state, prices, book, said, pending)
    if worth > evidence.equity_before:
        equity_text, unit = amount_text(evidence.equity_before), book.numeraire
        refuse(Refusal.EXCEEDS_EQUITY, actual=f"{amount_text(worth)} {unit}", equity=equity_text, numeraire=unit)
    basis_delta = negate(evidence.principal)
    decided = {"price": price, "basis_delta": basis_delta, "evidence": evidence}
    basis, starting_value = state.basis.net_basis, state.engine_state.starting_value
    equity = BeforeAfter(evidence.equity_before, subtract(evidence.equity_before, worth))
    return Payout(
        event=undeclared(event.model_copy(update=decided), *decided),
        evidence=evidence,
        value=worth,
        equity=equity,
        net_basis=BeforeAfter(basis, add(basis, basis_delta)),
        total_pnl=BeforeAfter(
            subtract(equity.before, starting_value), subtract(equity.after, subtract(starting_value, worth))
        ),
    )


def _require_known_basis(state: BookState) -> None:
    if not state.basis.is_known:
        refuse(Refusal.BASIS_INCOMPLETE, unknown_bases=state.basis.unknown_bases)


def _require_balance(event: Withdrawal, state: BookState) -> None:
    balance = state.inventory.balance(event.asset)
    if event.amount > balance:
        amount, there = amount_text(event.amount), amount_text(balance)
        refuse(Refusal.INSUFFICIENT_BALANCE, field="amount", actual=amount, asset=event.asset, balance=there)
