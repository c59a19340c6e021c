"""The prices at which a decision values a book: a given price, or else the newest mark if it is fresh enough."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from ledger.book import Book
from ledger.errors import Refusal
from ledger.refusal_texts import refuse
from ledger.times import time_text
from projections.marks import Price
from projections.state import BookState

MAX_MARK_AGE = timedelta(minutes=15)


def fresh_prices(
    state: BookState, book: Book, given: Mapping[str, Price], *, at: datetime, max_mark_age: timedelta | None
) -> dict[str, Price]:
    """A price for every asset held other than the numeraire: the given one, or else the state's mark.

    The state's marks must be those that count at `at` (see `engine.standing_marks`). `max_mark_age`: how old a mark may be
    at `at`; None for any age. Raises Refused `mark_missing`, `mark_stale`.
    """
    held = [asset for asset in state.inventory.held() if asset != book.numeraire]
    known = {**state.marks, **given}
    for asset in held:
        if asset not in known:
            refuse(Refusal.MARK_MISSING, asset=asset)
    for asset in held:
        if asset not in given and max_mark_age is not None:
            _require_fresh(asset, known[asset], at, max_mark_age)
    return {asset: known[asset] for asset in held}


def fresh_price(asset: str, price: Price | None, *, at: datetime, max_mark_age: timedelta) -> Price:
    """The price, if it is not None and, for a mark, not too old at `at`. Raises Refused `mark_missing`, `mark_stale`."""
    if price is None:
        refuse(Refusal.MARK_MISSING, asset=asset)
    if price.version is not None:  # a mark, not a price given with the command
        _require_fresh(asset, price, at, max_mark_age)
    return price


def _require_fresh(asset: str, mark: Price, at: datetime, max_mark_age: timedelta) -> None:
    if at - mark.at > max_mark_age:
        earliest = time_text(at - max_mark_age)
        refuse(Refusal.MARK_STALE, actual=time_text(mark.at), asset=asset, earliest=earliest)
