"""Column types that keep decimals and times exact on both engines."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Dialect, Numeric, String, TypeDecorator
from sqlalchemy.types import TypeEngine

from ledger.amounts import DIGITS_AFTER_POINT, DIGITS_BEFORE_POINT, SUM_DIGITS_BEFORE_POINT, ZERO, amount_text
from ledger.errors import StorageError, StorageFault
from ledger.times import time_text

# Text that is compared and sorted by its bytes on both engines. By default the server's locale would decide, and after an
# update of the locales its indexes would no longer find every key.
EXACT_TEXT = String().with_variant(String(collation="C"), "postgresql")
_TEXT_CHARACTERS = SUM_DIGITS_BEFORE_POINT + DIGITS_AFTER_POINT + len("-.")


class ExactDecimal(TypeDecorator[Decimal]):
    """NUMERIC on PostgreSQL; canonical decimal text on SQLite, whose own numbers are binary floats.

    Equal amounts have equal texts, so `=` works; the texts do not sort as numbers.
    """

    impl = String
    cache_ok = True

    def __init__(self, digits_before_point: int = DIGITS_BEFORE_POINT) -> None:
        super().__init__()
        self.digits_before_point = digits_before_point

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String())
        return dialect.type_descriptor(Numeric(self.digits_before_point + DIGITS_AFTER_POINT, DIGITS_AFTER_POINT))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return amount_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        if value == "0":  # the most frequent value by far
            return ZERO
        try:
            number = Decimal(value)
        except (InvalidOperation, TypeError, ValueError):
            raise unreadable("a decimal", value) from None
        # Anything larger or longer would not fit the exact arithmetic of `ledger.amounts`.
        too_long = isinstance(value, str) and len(value) > _TEXT_CHARACTERS
        if (
            too_long
            or not number.is_finite()
            or not -DIGITS_AFTER_POINT <= number.adjusted() < self.digits_before_point
        ):
            raise unreadable("a decimal", value)
        return number


def exact_sum() -> ExactDecimal:
    """The type of a sum of amounts, `NUMERIC(76,36)`."""
    return ExactDecimal(SUM_DIGITS_BEFORE_POINT)


class UtcTime(TypeDecorator[datetime]):
    """TIMESTAMPTZ on PostgreSQL; canonical text on SQLite, which sorts in the order of time."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String())
        from sqlalchemy.dialects.postgresql import TIMESTAMP  # takes long to import, and a file needs none of it

        return dialect.type_descriptor(TIMESTAMP(timezone=True, precision=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return time_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        try:
            time = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise unreadable("a time", value) from None
        if time.tzinfo is not UTC:
            raise unreadable("a time in UTC", value)
        return time


def unreadable(expected: str, value: object) -> StorageError:
    """The error for a stored column whose value is not `expected`."""
    return StorageError(
        StorageFault.EVENT_UNREADABLE,
        "a stored column does not hold what it should",
        expected=expected,
        actual=repr(value),
        advice="run `netbasis check` to find the row",
    )
