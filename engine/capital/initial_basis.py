"""`backfill_basis`: the single synthetic basis commit of a book whose history is older than its basis."""

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
    """A planned synthetic initial basis. All in the numeraire.

    event:         the basis commit
    net_basis:     before and after it
    net_deposits:  for comparison
    """

    event: BasisCommit
    net_basis: BeforeAfter
    net_deposits: Decimal


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """An initial basis to be committed. Texts as given; None for what was left out.

    amount:         > 0, in the numeraire
    key, corrects:  see `_initial_basis_key`
    at, actor:      when, and who decided it
    even_so:        commit it even if the basis of every deposit is known
    """

    amount: str
    key: str
    corrects: int | None = None
    at: str | None = None
    actor: str | None = None
    even_so: bool = False

    def event(self, book: Book) -> BasisCommit:
        """The event to look up: the amount is not compared, since a book has one initial basis, whatever its amount."""
        del book
        return undeclared(BasisCommit(key=self.key, basis_delta=ZERO), "basis_delta")

    def plan(self, situation: Situation) -> InitialBasisPlan:
        """The basis commit, and net basis before and after it. Raises Refused."""
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
    """Commit the basis of a book whose history is older than its basis, once.

    If the book has an initial basis already, it is returned as `existing`; if that one was reversed, the new one corrects
    it. `amount`: > 0, in the numeraire. `key`: only the key that it gets anyway is accepted. `even_so`: commit it even if
    the basis of every deposit is known. Raises Refused `amount_must_be_positive`, `basis_is_complete`, `at_in_future`,
    `initial_basis_key_fixed`, …; StorageError.
    """
    usual, corrects = _initial_basis_key(keeper, name)
    if key not in (None, usual, INITIAL_BASIS_KEY):
        refuse(Refusal.INITIAL_BASIS_KEY_FIXED, field="key", expected=usual, actual=key)
    request = BackfillRequest(amount, usual, corrects, at, actor, even_so)
    return carry_out(keeper, name, request, dry_run=dry_run)


def _require_incomplete(situation: Situation) -> None:
    """Raises Refused `basis_is_complete` when the basis of every deposit is known: an initial basis would count it twice."""
    name = situation.book.name
    if situation.state.basis.unknown_bases == 0 and store.has_standing_deposit(situation.connection, name):
        refuse(Refusal.BASIS_IS_COMPLETE)


def _initial_basis_key(keeper: Bookkeeper, name: str) -> tuple[str, int | None]:
    """The key of the book's synthetic initial basis, and the version that it corrects: the last one, if it was reversed."""
    key, newest = INITIAL_BASIS_KEY, None
    with keeper.database.reading() as connection:
        while (found := store.find_keys(connection, name, [key]).get(key)) is not None:
            key, newest = next_key(found), found
        if newest is None:
            return INITIAL_BASIS_KEY, None
        is_reversed = store.find_reversal(connection, name, newest.version) is not None
    return (key, newest.version) if is_reversed else (newest.key, None)
