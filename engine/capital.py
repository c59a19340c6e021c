"""Capital in and out: `inject`, `withdraw` and `backfill_basis`, each one transaction.

A request is what a person asked for; a plan is the event that it becomes in a book's present state, with the figures before
and after. The dry run plans from a read-only view; the real run plans under the book's lock and appends in the same
transaction, so that nothing can come between what was read and what is recorded.

A worked example (SPEC 5), numeraire RLUSD: equity 188.15625911, basis 187.284078, withdraw 20. There is 0.87218111 of
profit, which leaves first; 19.12781889 is principal. Afterwards basis and equity are 168.15625911, and PnL is as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Generic, TypeVar

from engine.bookkeeper import Bookkeeper
from engine.evidence import evidence_for
from engine.repeating import repeated
from engine.valuation import MAX_MARK_AGE, fresh_prices
from ledger import store
from ledger.amounts import ZERO, add, amount_text, negate, subtract, value
from ledger.appender import Outcome
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import BasisCommit, Deposit, Event, Evidence, Withdrawal, undeclared, with_defaults
from ledger.idempotency import next_key
from ledger.rules import capital_value, complete
from ledger.stored import StoredEvent
from projections.basis import INITIAL_BASIS_KEY
from projections.marks import Price
from projections.state import BookState

INJECTION_NOTE = "manual injection"

PlanT = TypeVar("PlanT", "Injection", "Payout", "Backfill")


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after, in the numeraire."""

    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Movement:
    """What a person says of capital that moves; texts as they were given, None for what was left out.

    `amount` > 0 in the asset's unit; `asset` None for the numeraire. A transaction's hash gives the event its key.
    """

    amount: str
    asset: str | None = None
    source_note: str | None = None
    tx_hash: str | None = None
    at: str | None = None
    actor: str | None = None

    def fields(self, book: Book) -> dict[str, object]:
        """The fields of an event, without those that were left out."""
        given = {
            "asset": self.asset or book.numeraire,
            "amount": self.amount,
            "source_note": self.source_note,
            "tx_hash": self.tx_hash,
            "at": self.at,
            "actor": self.actor,
        }
        return {name: text for name, text in given.items() if text is not None}


@dataclass(frozen=True, slots=True)
class Done(Generic[PlanT]):
    """A request carried out; `outcome` is None for a dry run.

    `existing` is the event that was there already, when the request was a repeat; then nothing was planned or written.
    `reversed_by`: the version of that event's reversal, None while it stands.
    """

    book: Book
    plan: PlanT | None
    outcome: Outcome | None
    existing: StoredEvent | None
    reversed_by: int | None = None


def _carry_out(
    keeper: Bookkeeper,
    name: str,
    given: Callable[[Book], Event],
    plan: Callable[[Book, BookState, datetime], PlanT],
    *,
    dry_run: bool,
    has_key: bool,
) -> Done[PlanT]:
    """Plan, and append the planned event in the same transaction; a dry run plans from what it reads.

    After a fault that passes it is planned anew. `has_key`: the event's key tells whether it is there already.
    """
    carry_out = partial(_plan if dry_run else _record, keeper, name, given, plan)
    done = repeated(carry_out, repeatable=lambda: has_key)
    if done.existing is None:
        return done
    with keeper.database.reading() as connection:
        return replace(done, reversed_by=store.find_reversal(connection, name, done.existing.version))


def _plan(
    keeper: Bookkeeper,
    name: str,
    given: Callable[[Book], Event],
    plan: Callable[[Book, BookState, datetime], PlanT],
) -> Done[PlanT]:
    view = keeper.view(name)
    existing = keeper.find_repeated(name, given(view.book), refuse_reversed=True)
    planned = plan(view.book, view.state, keeper.now()) if existing is None else None
    return Done(view.book, planned, None, existing)


def _record(
    keeper: Bookkeeper,
    name: str,
    given: Callable[[Book], Event],
    plan: Callable[[Book, BookState, datetime], PlanT],
) -> Done[PlanT]:
    with keeper.transaction(name) as transaction:
        book = transaction.book
        existing = transaction.find_repeated(given(book), refuse_reversed=True)
        if existing is not None:
            return Done(book, None, None, existing)
        planned = plan(book, transaction.state, keeper.now())
        return Done(book, planned, transaction.append(planned.event), None)


@dataclass(frozen=True, slots=True)
class Injection:
    """A deposit that is planned. All in the numeraire.

    `mark_difference`: for an asset other than the numeraire with a mark at hand, its value at that mark − at the deposit's
    own price; None otherwise. `mark`: that mark.
    """

    event: Deposit
    basis_delta: Decimal
    net_basis: Change
    starting_value: Change
    mark_difference: Decimal | None
    mark: Price | None


def inject(
    keeper: Bookkeeper, name: str, movement: Movement, *, price: Decimal | None = None, dry_run: bool = False
) -> Done[Injection]:
    """Add capital. `price`: of one unit in the numeraire, for an asset other than it.

    Raises Refused (`amount_must_be_positive`, `price_required`, …), KeyConflict, StorageError (see `append`).
    """

    def given(book: Book) -> Deposit:
        fields = movement.fields(book) | ({} if price is None else {"price": price})
        return with_defaults(Deposit.model_validate(fields), source_note=INJECTION_NOTE)

    def plan(book: Book, state: BookState, now: datetime) -> Injection:
        event = complete(given(book), book)
        assert isinstance(event, Deposit)
        assert event.basis_delta is not None  # computed, since it is not given
        worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
        basis, starting_value = state.basis.net_basis, state.engine_state.starting_value
        mark = state.marks.get(event.asset)
        return Injection(
            event=event,
            basis_delta=event.basis_delta,
            net_basis=Change(basis, add(basis, event.basis_delta)),
            starting_value=Change(starting_value, add(starting_value, worth)),
            mark_difference=subtract(value(event.amount, mark.price), worth) if mark else None,
            mark=mark,
        )

    return _carry_out(keeper, name, given, plan, dry_run=dry_run, has_key=movement.tx_hash is not None)


@dataclass(frozen=True, slots=True)
class Payout:
    """A withdrawal that is planned and classified. All in the numeraire; total PnL does not move."""

    event: Withdrawal
    evidence: Evidence
    value: Decimal
    equity: Change
    net_basis: Change
    total_pnl: Change


def withdraw(
    keeper: Bookkeeper,
    name: str,
    movement: Movement,
    *,
    prices: Mapping[str, Price] | None = None,
    max_mark_age: timedelta = MAX_MARK_AGE,
    dry_run: bool = False,
) -> Done[Payout]:
    """Take capital out, divided into profit and principal by the book's policy from the equity and basis before it.

    `prices`: per asset, before the newest marks; every asset held needs one. Raises Refused `basis_incomplete`,
    `insufficient_balance`, `mark_missing`, `mark_stale`, `exceeds_equity`, …; KeyConflict; StorageError.
    """

    def given(book: Book) -> Withdrawal:
        # The classification is the engine's to fill in, so a repeat is not compared by it.
        fields = movement.fields(book) | {"basis_delta": ZERO}
        return undeclared(Withdrawal.model_validate(fields), "basis_delta")

    def plan(book: Book, state: BookState, now: datetime) -> Payout:
        event = given(book)
        return plan_payout(event, book, state, prices or {}, at=event.at or now, max_mark_age=max_mark_age)

    return _carry_out(keeper, name, given, plan, dry_run=dry_run, has_key=movement.tx_hash is not None)


def plan_payout(
    event: Withdrawal,
    book: Book,
    state: BookState,
    prices: Mapping[str, Price],
    *,
    at: datetime,
    max_mark_age: timedelta = MAX_MARK_AGE,
) -> Payout:
    """The withdrawal as the engine decides it in a state of the book; the event's own basis_delta does not matter.

    `at`: when the money leaves, which marks are held against. Raises Refused as `withdraw` does.
    """
    _require_known_basis(state)
    _require_balance(event, state)
    return _classified(event, book, state, fresh_prices(state, book, prices, at=at, max_mark_age=max_mark_age))


def _classified(event: Withdrawal, book: Book, state: BookState, prices: Mapping[str, Price]) -> Payout:
    price = None if event.asset == book.numeraire else prices[event.asset].price
    worth = capital_value(event.asset, event.amount, price, book.numeraire)
    evidence = evidence_for(worth, state, prices, book)
    if worth > evidence.equity_before:
        raise Refused(
            Refusal.EXCEEDS_EQUITY,
            "the withdrawal is worth more than all that is in the book",
            expected=f"at most {amount_text(evidence.equity_before)} {book.numeraire}",
            actual=f"{amount_text(worth)} {book.numeraire}",
        )
    basis_delta = negate(evidence.principal)
    decided = {"price": price, "basis_delta": basis_delta, "evidence": evidence}
    basis, starting_value = state.basis.net_basis, state.engine_state.starting_value
    equity = Change(evidence.equity_before, subtract(evidence.equity_before, worth))
    return Payout(
        event=undeclared(event.model_copy(update=decided), *decided),
        evidence=evidence,
        value=worth,
        equity=equity,
        net_basis=Change(basis, add(basis, basis_delta)),
        total_pnl=Change(
            subtract(equity.before, starting_value), subtract(equity.after, subtract(starting_value, worth))
        ),
    )


def _require_known_basis(state: BookState) -> None:
    if not state.basis.is_known:
        raise Refused(
            Refusal.BASIS_INCOMPLETE,
            f"profit cannot be told from principal: deposits whose basis is unknown: {state.basis.unknown_bases}",
            expected="the synthetic initial basis",
            advice="commit it once with `netbasis backfill-basis --amount …`",
        )


def _require_balance(event: Withdrawal, state: BookState) -> None:
    balance = state.inventory.balance(event.asset)
    if event.amount > balance:
        raise Refused(
            Refusal.INSUFFICIENT_BALANCE,
            f"there is not that much {event.asset} in the book",
            expected=f"at most {amount_text(balance)}",
            actual=amount_text(event.amount),
            advice="a movement that has happened already is recorded with `netbasis append withdrawal`",
            field="amount",
        )


@dataclass(frozen=True, slots=True)
class Backfill:
    """The synthetic initial basis that is planned, beside the net deposits. All in the numeraire."""

    event: BasisCommit
    net_basis: Change
    net_deposits: Decimal


def backfill_basis(
    keeper: Bookkeeper,
    name: str,
    amount: str,
    *,
    at: str | None = None,
    actor: str | None = None,
    dry_run: bool = False,
) -> Done[Backfill]:
    """Commit the basis of a book whose history predates it, once; a second time `existing` is the first.

    When it was reversed, the new one corrects it. Raises Refused `amount_must_be_positive`, …; StorageError.
    """
    key, corrects = _initial_basis_key(keeper, name)

    def given(book: Book) -> BasisCommit:
        # Once per book, whatever the amount: a second one is answered, not compared.
        return undeclared(BasisCommit(key=key, basis_delta=ZERO), "basis_delta")

    def plan(book: Book, state: BookState, now: datetime) -> Backfill:
        fields = {"key": key, "source_note": INITIAL_BASIS_KEY, "basis_delta": amount, "at": at}
        event = complete(BasisCommit.model_validate({**fields, "actor": actor, "corrects": corrects}), book)
        assert isinstance(event, BasisCommit)
        if event.basis_delta <= 0:
            raise Refused(
                Refusal.AMOUNT_MUST_BE_POSITIVE,
                "an initial basis is more than 0",
                expected="an amount > 0",
                actual=amount,
                field="amount",
            )
        basis = state.basis.net_basis
        return Backfill(event, Change(basis, add(basis, event.basis_delta)), state.basis.net_deposits)

    return _carry_out(keeper, name, given, plan, dry_run=dry_run, has_key=True)


def _initial_basis_key(keeper: Bookkeeper, name: str) -> tuple[str, int | None]:
    """The key of the book's synthetic initial basis, and what it corrects: the newest one, when that was reversed."""
    key, newest = INITIAL_BASIS_KEY, None
    with keeper.database.reading() as connection:
        while (found := store.find_keys(connection, name, [key]).get(key)) is not None:
            key, newest = next_key(found), found
        if newest is None:
            return INITIAL_BASIS_KEY, None
        is_reversed = store.find_reversal(connection, name, newest.version) is not None
    return (key, newest.version) if is_reversed else (newest.key, None)
