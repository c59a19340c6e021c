"""`backfill_basis`: the one synthetic basis commit of a book whose history predates its basis."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.bookkeeper import Bookkeeper
from engine.capital.request import BeforeAfter, RequestOutcome, Situation, carry_out
from ledger import store
from ledger.amounts import ZERO, add
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import BasisCommit, undeclared
from ledger.idempotency import next_key
from ledger.refusal_texts import refuse
from ledger.rules import complete, require_not_ahead
from projections.basis import INITIAL_BASIS_KEY


@dataclass(frozen=True, slots=True)
class InitialBasisPlan:
    """The synthetic initial basis that is planned, beside the net deposits. All in the numeraire."""

    event: BasisCommit
    net_basis: BeforeAfter
    net_deposits: Decimal


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """The initial basis to be committed. `key`, `corrects`: see `_initial_basis_key`; `even_so`: also where all is known."""

    amount: str
    key: str
    corrects: int | None = None
    at: str | None = None
    actor: str | None = None
    even_so: bool = False

    def event(self, book: Book) -> BasisCommit:
        """Once per book, whatever the amount: a second one is answered, not compared."""
        del book
        return undeclared(BasisCommit(key=self.key, basis_delta=ZERO), "basis_delta")

    def plan(self, situation: Situation) -> InitialBasisPlan:
        """The commit and what it does. Raises Refused."""
        fields = {
            "key": self.key,
            "source_note": INITIAL_BASIS_KEY,
            "basis_delta": self.amount,
            "at": self.at,
            "actor": self.actor,
            "corrects": self.corrects,
        }
        event = complete(BasisCommit.model_validate(fields), situation.book)
        assert isinstance(event, BasisCommit)
        require_not_ahead(event.at, situation.now)
        if event.basis_delta <= 0:
            raise Refused(
                Refusal.AMOUNT_MUST_BE_POSITIVE,
                "an initial basis is more than 0",
                expected="an amount > 0",
                actual=self.amount,
                field="amount",
            )
        if not self.even_so:
            _require_incomplete(situation)
        basis = situation.state.basis
        change = BeforeAfter(basis.net_basis, add(basis.net_basis, event.basis_delta))
        return InitialBasisPlan(event, change, basis.net_deposits)


def backfill_basis(
    keeper: Bookkeeper,
    name: str,
    amount: str,
    *,
    at: str | None = None,
    actor: str | None = None,
    key: str | None = None,
    even_so: bool = False,
    dry_run: bool = False,
) -> RequestOutcome[InitialBasisPlan]:
    """Commit the basis of a book whose history predates it, once; a second time `existing` is the first.

    When it was reversed, the new one corrects it. `key`: None, or the one that it gets anyway, since it is known by it.
    `even_so`: also on a book whose deposits all have a known basis. Raises Refused `amount_must_be_positive`,
    `basis_is_complete`, `at_in_future`, `initial_basis_key_fixed`, …; StorageError.
    """
    usual, corrects = _initial_basis_key(keeper, name)
    if key not in (None, usual, INITIAL_BASIS_KEY):
        refuse(Refusal.INITIAL_BASIS_KEY_FIXED, field="key", expected=usual, actual=key)
    request = BackfillRequest(amount, usual, corrects, at, actor, even_so)
    return carry_out(keeper, name, request, dry_run=dry_run)


def _require_incomplete(situation: Situation) -> None:
    """Where every deposit has brought its basis along, an initial basis would count it a second time."""
    name = situation.book.name
    if situation.state.basis.unknown_bases == 0 and store.has_standing_deposit(situation.connection, name):
        refuse(Refusal.BASIS_IS_COMPLETE)


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
