"""`inject`: add capital. Basis, net deposits and starting value go up by its value, so PnL does not move."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.bookkeeper import Bookkeeper
from engine.capital.request import BeforeAfter, Movement, RequestOutcome, Situation, carry_out
from ledger.amounts import add, subtract, value
from ledger.book import Book
from ledger.events import Deposit, with_defaults
from ledger.rules import capital_value, complete, require_not_ahead
from projections.marks import Price

INJECTION_NOTE = "manual injection"


@dataclass(frozen=True, slots=True)
class Injection:
    """A planned deposit. All in the numeraire.

    event:            the deposit, its basis computed
    basis_delta:      what it adds to net basis
    net_basis:        before and after it
    starting_value:   before and after it
    mark_difference:  value at the newest mark − value at the deposit's own price; None when the asset has no mark
    mark:             that mark; None when the asset has none
    """

    event: Deposit
    basis_delta: Decimal
    net_basis: BeforeAfter
    starting_value: BeforeAfter
    mark_difference: Decimal | None
    mark: Price | None


@dataclass(frozen=True, slots=True)
class InjectionRequest:
    """Capital to be added.

    movement:  what is deposited
    price:     of one unit in the numeraire; None for the numeraire itself
    """

    movement: Movement
    price: Decimal | None = None

    def event(self, book: Book) -> Deposit:
        """The deposit as it was given."""
        fields = self.movement.fields(book) | ({} if self.price is None else {"price": self.price})
        return with_defaults(Deposit.model_validate(fields), source_note=INJECTION_NOTE)

    def plan(self, situation: Situation) -> Injection:
        """The deposit with its basis computed, and the figures before and after it. Raises Refused."""
        book, state = situation.book, situation.state
        event = complete(self.event(book), book)
        assert isinstance(event, Deposit)
        assert event.basis_delta is not None  # computed, since it is not given
        require_not_ahead(event.at, situation.now)
        worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
        basis, starting_value = state.basis.net_basis, state.engine_state.starting_value
        mark = situation.marks(None).get(event.asset)
        return Injection(
            event=event,
            basis_delta=event.basis_delta,
            net_basis=BeforeAfter(basis, add(basis, event.basis_delta)),
            starting_value=BeforeAfter(starting_value, add(starting_value, worth)),
            mark_difference=subtract(value(event.amount, mark.price), worth) if mark else None,
            mark=mark,
        )


def inject(
    keeper: Bookkeeper, name: str, movement: Movement, *, price: Decimal | None = None, dry_run: bool = False
) -> RequestOutcome[Injection]:
    """Add capital. `price`: of one unit in the numeraire; None for the numeraire itself.

    Raises Refused (`amount_must_be_positive`, `price_required`, `at_in_future`, …), Conflict, StorageError (see `append`).
    """
    return carry_out(keeper, name, InjectionRequest(movement, price), dry_run=dry_run)
