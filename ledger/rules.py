"""The rules of an event in its book: what is refused, and what is filled in where the caller left a default.

One function for each event type that has rules; `complete` dispatches. What a refusal says is in `ledger.refusal_texts`.
Recording an event never classifies it: a withdrawal's basis delta is taken as given.
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
from ledger.refusal_texts import refuse
from ledger.texts import normal_tx_hash
from ledger.times import CLOCK_TOLERANCE, time_text

EventT = TypeVar("EventT", bound=Event)
_ASSET_FIELDS = ("asset", "base_asset", "quote_asset", "fee_asset", "numeraire")


def complete(event: Event, book: Book) -> Event:
    """The event with its computed fields filled in and its transaction hash normalised.

    Raises Refused: `book_differs`, `text_empty` for an empty hash, `asset_is_pair`, and the refusals of the event's type.
    """
    if event.book is not None and event.book != book.name:
        refuse(Refusal.BOOK_DIFFERS, field="book", expected=book.name, actual=event.book)
    event = with_normal_hash(event)
    fields = vars(event)
    for name in _ASSET_FIELDS:
        asset = fields.get(name)
        if asset is not None and "/" in asset:
            _require_no_pair(name, asset)
    rule = _RULES.get(event.kind)
    return rule(event, book) if rule else event


def _require_no_pair(name: str, asset: str) -> None:
    base, _, quote = asset.partition("/")
    if base and quote and "/" not in quote:
        refuse(Refusal.ASSET_IS_PAIR, field=name, actual=asset, base=base, quote=quote)


def with_normal_hash(event: EventT) -> EventT:
    """The event with its transaction hash normalised. Raises Refused `text_empty` for a hash that is empty or blank."""
    given = event.tx_hash
    if given is None:
        return event
    tx_hash = normal_tx_hash(given)
    if not tx_hash:  # for example an unset variable in a script: a duplicate could not be recognised
        raise Refused(
            Refusal.TEXT_EMPTY, "tx_hash: must not be empty", advice="leave it out if there is none", field="tx_hash"
        )
    return event if tx_hash == given else event.model_copy(update={"tx_hash": tx_hash})


def require_not_ahead(at: datetime | None, now: datetime) -> None:
    """Raises Refused `at_in_future` when `at` is ahead of the clock by more than `CLOCK_TOLERANCE`; None is allowed.

    For marks and decisions only. Facts from a venue are recorded as they come: a slow clock must not stop its stream.
    """
    if at is not None and at - now > CLOCK_TOLERANCE:
        latest = time_text(now + CLOCK_TOLERANCE)
        refuse(Refusal.AT_IN_FUTURE, field="at", actual=time_text(at), latest=latest)


def capital_value(asset: str, amount: Decimal, price: Decimal | None, numeraire: str) -> Decimal:
    """The value of a deposit or withdrawal in the numeraire, at its own price.

    `price`: of one unit in the numeraire; must be None for the numeraire itself. Raises Refused: `price_must_be_absent`,
    `price_required`, `value_out_of_range`.
    """
    if asset == numeraire:
        if price is not None:
            refuse(Refusal.PRICE_MUST_BE_ABSENT, field="price", asset=asset)
        return amount
    if price is None:
        refuse(Refusal.PRICE_REQUIRED, field="price", asset=asset, numeraire=numeraire)
    worth = value(amount, price)
    if not fits(worth):
        refuse(Refusal.VALUE_OUT_OF_RANGE, actual=amount_text(worth))
    return worth


def _fill(event: Event, book: Book) -> Event:
    assert isinstance(event, Fill)
    if event.base_asset == event.quote_asset:
        refuse(Refusal.ASSETS_MUST_DIFFER, field="quote_asset", actual=f"{event.base_asset} twice")
    if event.fee_amount is not None and event.fee_asset is None:
        refuse(Refusal.FEE_ASSET_REQUIRED, field="fee_asset")
    return event


def _deposit(event: Event, book: Book) -> Event:
    assert isinstance(event, Deposit)
    worth = capital_value(event.asset, event.amount, event.price, book.numeraire)
    if event.basis_unknown and event.basis_delta is not None:
        refuse(Refusal.BASIS_DELTA_AND_UNKNOWN, field="basis_delta")
    if event.basis_unknown or event.basis_delta is not None:
        return event
    return event.model_copy(update={"basis_delta": worth})


def _withdrawal(event: Event, book: Book) -> Event:
    assert isinstance(event, Withdrawal)
    capital_value(event.asset, event.amount, event.price, book.numeraire)
    if event.basis_delta > 0:
        refuse(Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE, field="basis_delta", actual=amount_text(event.basis_delta))
    return event


def _basis_commit(event: Event, book: Book) -> Event:
    assert isinstance(event, BasisCommit)
    size = event.basis_delta.copy_abs()
    if event.asset not in (None, book.numeraire):
        refuse(Refusal.ASSET_MUST_BE_NUMERAIRE, field="asset", expected=book.numeraire, actual=event.asset)
    if event.price is not None:
        refuse(Refusal.PRICE_MUST_BE_ABSENT, field="price", asset=book.numeraire)
    if event.amount not in (None, size):
        refuse(Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA, field="amount", expected=amount_text(size), actual=event.amount)
    return event.model_copy(update={"asset": book.numeraire, "amount": size})


def _mark(event: Event, book: Book) -> Event:
    assert isinstance(event, Mark)
    if event.asset == book.numeraire:
        refuse(Refusal.ASSET_MUST_NOT_BE_NUMERAIRE, field="asset", asset=event.asset)
    return event


_RULES: dict[str, Callable[[Event, Book], Event]] = {
    "fill": _fill,
    "deposit": _deposit,
    "withdrawal": _withdrawal,
    "basis_commit": _basis_commit,
    "mark": _mark,
}
