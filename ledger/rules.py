"""What is refused when an event meets its book, and what is filled in where the caller left a default.

One function per event type that has rules; `complete` dispatches. Recording never classifies: a withdrawal's basis
delta is taken as it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from ledger.amounts import amount_text, fits, value
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import BasisCommit, Deposit, Event, Fill, Mark, Withdrawal
from ledger.texts import normal_tx_hash
from ledger.times import CLOCK_TOLERANCE, time_text

EventT = TypeVar("EventT", bound=Event)
_ASSET_FIELDS = ("asset", "base_asset", "quote_asset", "fee_asset", "numeraire")


def complete(event: Event, book: Book) -> Event:
    """The event with its computed fields filled in and its hash normalised, when the rules allow it in this book.

    Raises Refused: `book_differs`, `text_empty` for an empty hash, and the refusals of the event's type.
    """
    if event.book is not None and event.book != book.name:
        raise Refused(
            Refusal.BOOK_DIFFERS,
            "the event names another book than the one that it is appended to",
            expected=book.name,
            actual=event.book,
            field="book",
        )
    event = with_normal_hash(event)
    for name in _ASSET_FIELDS:
        _require_no_pair(name, getattr(event, name, None))
    rule = _RULES.get(event.kind)
    return rule(event, book) if rule else event


def _require_no_pair(name: str, asset: str | None) -> None:
    base, slash, quote = (asset or "").partition("/")
    if slash and base and quote and "/" not in quote:
        raise Refused(
            Refusal.ASSET_IS_PAIR,
            f"{name}: {base}/{quote} is a pair, not an asset",
            expected="one asset",
            actual=asset,
            advice=f'of a fill, the base asset is "{base}" and the quote asset "{quote}"',
            field=name,
        )


def with_normal_hash(event: EventT) -> EventT:
    """The event, its hash normalised where it has one. Raises Refused `text_empty` for a hash of nothing or of blanks."""
    given = event.tx_hash
    if given is None:
        return event
    tx_hash = normal_tx_hash(given)
    if not tx_hash:  # such as a script's variable that was not set: nothing would tell a repeat
        raise Refused(
            Refusal.TEXT_EMPTY, "tx_hash: must not be empty", advice="leave it out if there is none", field="tx_hash"
        )
    return event if tx_hash == given else event.model_copy(update={"tx_hash": tx_hash})


def require_not_ahead(at: datetime | None, now: datetime) -> None:
    """Raises Refused `at_in_future` for a given `at` that the clock has not reached, but for its tolerance.

    Of marks and decisions; a fact is recorded as it comes, since a slow clock must not hold a venue's stream up.
    """
    if at is not None and at - now > CLOCK_TOLERANCE:
        raise Refused(
            Refusal.AT_IN_FUTURE,
            "at: it lies ahead of the clock",
            expected=f"at most {time_text(now + CLOCK_TOLERANCE)}, 5 minutes after the clock",
            actual=time_text(at),
            advice="check the year and the zone; left out, it is now",
            field="at",
        )


def capital_value(asset: str, amount: Decimal, price: Decimal | None, numeraire: str) -> Decimal:
    """The value of a deposit or withdrawal in the numeraire, at its own price.

    Raises Refused: `price_must_be_absent`, `price_required`, `value_out_of_range`.
    """
    if asset == numeraire:
        if price is not None:
            raise _price_must_be_absent(asset)
        return amount
    if price is None:
        raise Refused(
            Refusal.PRICE_REQUIRED,
            f"an amount of {asset} has no value without a price",
            expected=f"the price of one {asset} in {numeraire}",
            field="price",
        )
    worth = value(amount, price)
    if not fits(worth):
        raise Refused(
            Refusal.VALUE_OUT_OF_RANGE,
            "the value, amount × price, is too large",
            expected="at most 20 digits before the point",
            actual=amount_text(worth),
        )
    return worth


def _price_must_be_absent(asset: str) -> Refused:
    return Refused(
        Refusal.PRICE_MUST_BE_ABSENT,
        f"{asset} is the numeraire: its price is 1 and nothing else",
        expected="no price",
        field="price",
    )


def _fill(event: Event, book: Book) -> Event:
    assert isinstance(event, Fill)
    if event.base_asset == event.quote_asset:
        raise Refused(
            Refusal.ASSETS_MUST_DIFFER,
            "a fill exchanges one asset for another",
            expected="two assets",
            actual=f"{event.base_asset} twice",
            field="quote_asset",
        )
    if event.fee_amount is not None and event.fee_asset is None:
        raise Refused(
            Refusal.FEE_ASSET_REQUIRED,
            "a fee needs its asset",
            expected="the field fee_asset",
            advice="if it is not known, leave fee_amount out: the fee is recorded as unknown, not as 0",
            field="fee_asset",
        )
    return event


def _deposit(event: Event, book: Book) -> Event:
    assert isinstance(event, Deposit)
    worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
    if event.basis_unknown and event.basis_delta is not None:
        raise Refused(
            Refusal.BASIS_DELTA_AND_UNKNOWN,
            "a basis cannot be both given and unknown",
            expected="basis_delta or basis_unknown",
            field="basis_delta",
        )
    if event.basis_unknown or event.basis_delta is not None:
        return event
    return event.model_copy(update={"basis_delta": worth})


def _withdrawal(event: Event, book: Book) -> Event:
    assert isinstance(event, Withdrawal)
    capital_value(event.asset, event.amount, event.price, book.numeraire)
    if event.basis_delta > 0:
        raise Refused(
            Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE,
            "a withdrawal cannot add to the basis",
            expected="a basis_delta ≤ 0",
            actual=amount_text(event.basis_delta),
            field="basis_delta",
        )
    return event


def _basis_commit(event: Event, book: Book) -> Event:
    assert isinstance(event, BasisCommit)
    size = event.basis_delta.copy_abs()
    if event.asset not in (None, book.numeraire):
        raise Refused(
            Refusal.ASSET_MUST_BE_NUMERAIRE,
            "the basis is counted in the numeraire",
            expected=book.numeraire,
            actual=event.asset,
            field="asset",
        )
    if event.price is not None:
        raise _price_must_be_absent(book.numeraire)
    if event.amount not in (None, size):
        raise Refused(
            Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA,
            "the amount of a basis commit is the size of its basis_delta",
            expected=amount_text(size),
            actual=event.amount,
            field="amount",
        )
    return event.model_copy(update={"asset": book.numeraire, "amount": size})


def _mark(event: Event, book: Book) -> Event:
    assert isinstance(event, Mark)
    if event.asset == book.numeraire:
        raise Refused(
            Refusal.ASSET_MUST_NOT_BE_NUMERAIRE,
            f"{event.asset} is the numeraire: its mark is 1 and nothing else",
            expected="another asset",
            field="asset",
        )
    return event


_RULES: dict[str, Callable[[Event, Book], Event]] = {
    "fill": _fill,
    "deposit": _deposit,
    "withdrawal": _withdrawal,
    "basis_commit": _basis_commit,
    "mark": _mark,
}
