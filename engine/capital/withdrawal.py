"""`withdraw`: take capital out, divided into profit and principal by the book's policy.

A worked example, numeraire RLUSD: equity 188.15625911, basis 187.284078, withdraw 20. There is 0.87218111 of profit, which
leaves first; 19.12781889 is principal. Afterwards basis and equity are 168.15625911, and PnL is as before.

A withdrawal is decided at the end of the log, since equity and basis are those of the log's end. One with an `at` before
other movements is refused, or, where the caller says that it is recorded late, decided on the state of now: the equity
from the newest marks, the withdrawn asset's own price from its `at`. Its evidence says so and has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.bookkeeper import Bookkeeper
from engine.capital.request import BeforeAfter, Movement, RequestOutcome, Situation, carry_out
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
    """A withdrawal that is planned and classified. All in the numeraire; total PnL does not move."""

    event: Withdrawal
    evidence: Evidence
    value: Decimal
    equity: BeforeAfter
    net_basis: BeforeAfter
    total_pnl: BeforeAfter


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of a withdrawal that is decided after its `at`: when, and the withdrawn asset's price at its `at`.

    `own_price`: None for the numeraire.
    """

    decided_at: datetime
    own_price: Price | None


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """Capital to be taken out.

    `prices`: per asset, before the newest marks. `may_be_late`: the caller knows that its `at` is before other movements.
    """

    movement: Movement
    prices: Mapping[str, Price] = field(default_factory=dict)
    max_mark_age: timedelta = MAX_MARK_AGE
    may_be_late: bool = False

    def event(self, book: Book) -> Withdrawal:
        """The withdrawal as it was given; the engine fills in the classification, so a repeat is not compared by it."""
        fields = self.movement.fields(book) | {"basis_delta": ZERO}
        return undeclared(Withdrawal.model_validate(fields), "basis_delta")

    def plan(self, situation: Situation) -> Payout:
        """The withdrawal, classified. Raises Refused."""
        event = with_normal_hash(self.event(situation.book))
        require_not_ahead(event.at, situation.now)
        if event.at is not None and _is_late(event.at, situation, may_be_late=self.may_be_late):
            return self._plan_late(event, event.at, situation)
        state = replace(situation.state, marks=situation.marks(event.at))
        at = event.at or situation.now
        prices = {asset: _then(price, at) for asset, price in self.prices.items()}
        return plan_payout(event, situation.book, state, prices, at=at, max_mark_age=self.max_mark_age)

    def _plan_late(self, event: Withdrawal, at: datetime, situation: Situation) -> Payout:
        """Decided on the state of now; what was given as the withdrawn asset's price is its price at its `at`."""
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
        )


def withdraw(
    keeper: Bookkeeper,
    name: str,
    movement: Movement,
    *,
    prices: Mapping[str, Price] | None = None,
    max_mark_age: timedelta = MAX_MARK_AGE,
    late: bool = False,
    dry_run: bool = False,
) -> RequestOutcome[Payout]:
    """Take capital out, divided into profit and principal by the book's policy from the equity and basis before it.

    `prices`: per asset, before the newest marks; every asset held needs one. `late`: decide it on the state of now although
    its `at` is before other movements. Raises Refused `basis_incomplete`, `insufficient_balance`, `mark_missing`,
    `mark_stale`, `exceeds_equity`, `at_in_future`, `decision_out_of_order`, …; Conflict; StorageError.
    """
    request = WithdrawalRequest(movement, prices or {}, max_mark_age, late)
    return carry_out(keeper, name, request, dry_run=dry_run)


def _then(price: Price, at: datetime) -> Price:
    """A price that was given with the command is one of the withdrawal's time."""
    return replace(price, at=min(price.at, at))


def _is_late(at: datetime, situation: Situation, *, may_be_late: bool) -> bool:
    """Whether a withdrawal at a time is decided after other movements. Raises Refused `decision_out_of_order`."""
    first, last = store.times_of_movements(situation.connection, situation.book.name, until=situation.now)
    if first is not None and at < first:
        raise Refused(
            Refusal.DECISION_OUT_OF_ORDER,
            "nothing had ever moved in the book by then",
            expected=f"an at of {time_text(first)} or later",
            actual=time_text(at),
            advice="check the date",
            field="at",
        )
    is_late = last is not None and last - at > CLOCK_TOLERANCE
    if last is not None and is_late and not may_be_late:
        raise Refused(
            Refusal.DECISION_OUT_OF_ORDER,
            "balances have moved since then, and a withdrawal is divided by what is in the book now",
            expected=f"an at of {time_text(last - CLOCK_TOLERANCE)} or later",
            actual=time_text(at),
            advice="give --late to decide it on the state of now and keep its own at",
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
) -> Payout:
    """The withdrawal as the engine decides it in a state of the book; the event's own basis_delta does not matter.

    `at`: when it is decided, which the age of the state's marks is judged from. `late`: of one whose own time was earlier.
    Raises Refused as `withdraw` does.
    """
    _require_known_basis(state)
    _require_balance(event, state)
    known = fresh_prices(state, book, prices, at=at, max_mark_age=max_mark_age)
    return _classified(event, book, state, known, late)


def _classified(
    event: Withdrawal, book: Book, state: BookState, prices: Mapping[str, Price], late: Lateness | None
) -> Payout:
    own_price = late.own_price if late else prices.get(event.asset)
    price = None if own_price is None or event.asset == book.numeraire else own_price.price
    worth = capital_value(event.asset, event.amount, price, book.numeraire)
    said = late_evidence(event.asset, late.own_price, decided_at=late.decided_at) if late else None
    evidence = evidence_for(worth, state, prices, book, said)
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
