"""One cell of an old table as a value: amounts exact, times in UTC, errors that name table, row and column.

Old amounts are REALs. A REAL becomes the shortest decimal that round-trips (`exact_text`, the only place that handles a
binary float), and from then on only that decimal counts: 0.1 is 0.1. SQLite stores a NaN as NULL. Balances may have any
number of decimals, since sums of floats end in noise; an amount of an event has at most 36.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from engine.importers.legacy.columns import TIME
from ledger.amounts import parse_amount, value
from ledger.errors import Refusal, Refused
from ledger.times import EPOCH, parse_time

BALANCE_DECIMALS = 60
_PLAIN_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
# The size of a count since 1970 tells its unit: 10¹¹ seconds would be the year 5138. (Upper limit, microseconds per unit.)
_EPOCH_UNITS = ((Decimal("1e11"), Decimal("1e6")), (Decimal("1e14"), Decimal("1e3")), (Decimal("1e17"), Decimal(1)))

ValueT = TypeVar("ValueT")


class OldRow:
    """One row of an old table. Its readers raise Refused, naming the table, the row's id and the column."""

    def __init__(self, table: str, row_id: str, columns: Mapping[str, str], values: Mapping[str, object]) -> None:
        self.table = table
        self.id = row_id
        self._columns = columns
        self._values = values

    def amount(self, name: str) -> Decimal:
        """An amount as events have them: at most 20 digits before the point and 36 after it."""
        return self._required(name, self.optional_amount(name))

    def optional_amount(self, name: str) -> Decimal | None:
        """An amount; None for NULL and for a missing column."""
        return self._read(name, lambda stored: parse_amount(exact_text(stored)))

    def balance(self, name: str) -> Decimal:
        """A balance, which may have more decimals than an amount."""
        return self._required(name, self.optional_balance(name))

    def optional_balance(self, name: str) -> Decimal | None:
        """A balance; None for NULL and for a missing column."""
        return self._read(name, parse_balance)

    def text(self, name: str) -> str:
        """A text."""
        return self._required(name, self.optional_text(name))

    def optional_text(self, name: str) -> str | None:
        """A text, or the digits of an integer; None for NULL and for a missing column."""
        return self._read(name, parse_label)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of several words, regardless of case."""
        found = self.text(name).strip().lower()
        if found not in choices:
            expected = f"one of {', '.join(choices)}"
            raise self._at(name, Refused(Refusal.CHOICE_UNKNOWN, "no such choice", expected=expected, actual=found))
        return found

    def time(self, engine_start: datetime | None) -> datetime:
        """When the row was written, UTC; `engine_start` when the row has no time."""
        return self._required(TIME, self._read(TIME, parse_old_time) or engine_start)

    def _read(self, name: str, read: Callable[[object], ValueT]) -> ValueT | None:
        stored = self._values.get(name)
        if stored is None:
            return None
        try:
            return read(stored)
        except Refused as refused:
            raise self._at(name, refused) from refused.__cause__

    def _required(self, name: str, found: ValueT | None) -> ValueT:
        if found is None:
            raise self._at(
                name, Refused(Refusal.FIELD_REQUIRED, "is NULL", expected="a value (a NaN is stored as NULL)")
            )
        return found

    def _at(self, name: str, refused: Refused) -> Refused:
        refused.where = f"{self.table} row {self.id}, column {self._columns.get(name, name)}"
        return refused


def exact_text(stored: object) -> str:
    """The digits of a stored number; for a REAL, the fewest that identify it. No binary float leaves this function.

    Raises Refused `amount_malformed` for an infinity and for bytes.
    """
    if isinstance(stored, float) and math.isfinite(stored):
        return repr(stored)
    if isinstance(stored, int | str):
        return str(stored).strip()
    raise Refused(Refusal.AMOUNT_MALFORMED, "not a finite number", expected="a number", actual=repr(stored))


def parse_balance(stored: object) -> Decimal:
    """A balance: as an amount, with as many decimals as a float has. Raises Refused as `parse_amount` does."""
    text = exact_text(stored)
    try:
        return parse_amount(text)
    except Refused as refused:
        if refused.refusal is not Refusal.AMOUNT_TOO_PRECISE:
            raise
    noisy = Decimal(text)
    _, _, exponent = noisy.as_tuple()
    assert isinstance(exponent, int)  # parse_amount
    # Anything smaller than the noise of a float next to an amount counts as 0, or else sums would grow without end.
    return noisy if exponent >= -BALANCE_DECIMALS else Decimal(0)


def parse_label(stored: object) -> str:
    """A text, unchanged; an id or a session may also be an integer. Raises Refused `text_required`."""
    if isinstance(stored, int | str):
        return str(stored)
    raise Refused(Refusal.TEXT_REQUIRED, "must be a text", expected="a text or a whole number", actual=repr(stored))


def parse_old_time(stored: object) -> datetime:
    """A time; UTC when it has no zone. Also a count of seconds, milliseconds or microseconds since 1970.

    A REAL count is rounded to a microsecond, which is finer than its float. Raises Refused `time_malformed`,
    `time_too_precise`, `time_out_of_range`.
    """
    text = exact_text(stored) if isinstance(stored, float | int) else str(stored).strip()
    if _PLAIN_NUMBER.fullmatch(text):
        return _since_1970(Decimal(text))
    try:
        return parse_time(text)
    except Refused as refused:
        if refused.refusal is not Refusal.TIME_WITHOUT_ZONE:
            raise
    return parse_time(f"{text}Z")


def _since_1970(count: Decimal) -> datetime:
    for limit, microseconds in _EPOCH_UNITS:
        if count < limit:
            exact = value(count, microseconds)
            return EPOCH + timedelta(microseconds=int(exact.to_integral_value()))
    raise Refused(Refusal.TIME_MALFORMED, "not a time", expected="a time of this age", actual=str(count))
