"""What many events add up to, as one statement for every engine: the sums of alike events.

    SELECT book, effect_of, asset, quote_asset, fee_asset, reason, SUM(asset_delta), … GROUP BY …

Every projection but the marks is a sum over effects, so a group of alike events is folded as one event whose effects are the
sums: the pure folds stay the only place that knows what moves what. Events are alike when the folds treat them alike: the
same type of effect, the same assets, and the same reason where a reason matters. A reversal counts among the events of the
type that it reverses, with negated effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, or_, select

from ledger.amounts import ZERO, total
from ledger.database.columns import exact_sum
from ledger.database.log_columns import LogColumns
from ledger.effects import Effects, Posting
from ledger.events import MOVES_BASIS
from ledger.stored import StoredEvent
from ledger.times import BEGINNING
from projections.fees import FEE_REASONS
from projections.inventory import PART_OF
from projections.marks import Selection
from projections.state import EMPTY, BookState, apply

SUMMED = (
    "asset_delta",
    "quote_delta",
    "fee_delta",
    "net_deposits_delta",
    "basis_delta",
    "starting_value_delta",
)
_COUNTS = ("unknown_fees", "unknown_bases")
# Marks are no sums: `projections.newest_marks`.
_NO_MARKS = Selection(range(0))


def sums(log: LogColumns, where: ColumnElement[bool] | None = None, by: Sequence[str] = ("book",)) -> Select[Any]:
    """The sums of alike events, a row for each group.

    `where`: which events; None for all. `by`: groups are kept apart by these columns, too.
    """
    counted_reason = case(
        (or_(log["effect_of"].in_(sorted(MOVES_BASIS)), log["reason"].in_(sorted(FEE_REASONS))), log["reason"]),
    )
    groups = [
        *(log[name] for name in by),
        *(log[name].label(name) for name in ("effect_of", "asset", "quote_asset", "fee_asset")),
        counted_reason.label("reason"),
    ]
    summed: list[ColumnElement[Any]] = []
    for amount in SUMMED:
        parts = log.parts(amount)
        summed.append(func.count(parts[0]).label(f"{amount}_count"))
        summed += [func.sum(part, type_=exact_sum()).label(f"{amount}_{place}") for place, part in enumerate(parts)]
    query = select(
        *groups,
        func.count().label("events"),
        func.min(log["version"]).label("first_version"),
        func.max(log["version"]).label("last_version"),
        func.min(log["at"]).label("least_at"),
        func.max(log["at"]).label("greatest_at"),
        *(cast(func.sum(log[name]), BigInteger).label(name) for name in _COUNTS),
        *summed,
    ).group_by(*groups)
    return query if where is None else query.where(where)


class NotSummed(ArithmeticError):
    """An engine did not add up all amounts: one did not fit, or the sum is NULL. The range is to be folded from rows."""


def alike_events(rows: Iterable[Any]) -> list[StoredEvent]:
    """Each row of `sums`, of one book, as an event whose effects are the sums. Raises NotSummed.

    They are in the order in which the first event of each group stands in the log.
    """
    try:
        return [_event(row) for row in sorted(rows, key=lambda row: row.first_version)]
    except (TypeError, ValueError, AttributeError) as error:  # a file that was forged lacks what every event has
        raise NotSummed(f"a sum lacks a value: {error}") from error


def state_of_sums(rows: Iterable[Any], state: BookState = EMPTY) -> BookState:
    """A state and the events that rows of `sums` add up, without their marks. Raises NotSummed."""
    version = state.version
    for event in alike_events(rows):
        state = apply(state, event, _NO_MARKS)
        version = max(version, event.version)
    return replace(state, version=version)


def _event(row: Any) -> StoredEvent:
    is_posting = row.effect_of in PART_OF
    effects = Effects(
        effect_of=row.effect_of,
        own=_posting(row, "asset", "asset_delta") if is_posting else None,
        quote=_posting(row, "quote_asset", "quote_delta"),
        fee=_posting(row, "fee_asset", "fee_delta"),
        net_deposits_delta=_sum(row, "net_deposits_delta", row.events),
        basis_delta=_sum(row, "basis_delta", row.events),
        starting_value_delta=_sum(row, "starting_value_delta", row.events),
        unknown_fees=row.unknown_fees,
        unknown_bases=row.unknown_bases,
    )
    nothing: dict[str, Any] = dict.fromkeys(("session_id", "price", "reverses", "tx_hash", "strategy"))
    return StoredEvent(
        book="",
        version=row.last_version,
        event_id="",
        key="",
        type="sum",
        at=BEGINNING,
        recorded_at=BEGINNING,
        asset=row.asset,
        effects=effects,
        body=b"",
        hash=b"",
        reason=row.reason,
        **nothing,
    )


def _posting(row: Any, asset: str, delta: str) -> Posting | None:
    name = getattr(row, asset)
    return None if name is None else Posting(name, _sum(row, delta, row.events))


def _sum(row: Any, amount: str, count: int) -> Decimal:
    """A sum, exactly; its columns must have had a value in each of `count` events."""
    parts = [getattr(row, f"{amount}_{place}") for place in (0, 1) if hasattr(row, f"{amount}_{place}")]
    if getattr(row, f"{amount}_count") != count or None in parts:
        raise NotSummed(f"the sum of {amount} lacks amounts")
    if not all(isinstance(part, Decimal) for part in parts):
        raise NotSummed(f"the sum of {amount} is no exact decimal")
    return total(parts) if any(parts) else ZERO


def bounds_of(rows: Iterable[Any]) -> tuple[datetime, datetime] | None:
    """The least and the greatest `at` of the events that rows of `sums` add up; None for no rows."""
    found = list(rows)
    if not found:
        return None
    return min(row.least_at for row in found), max(row.greatest_at for row in found)
