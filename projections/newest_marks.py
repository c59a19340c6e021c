"""The newest standing mark of each asset, and the standing initial basis, as statements for every engine.

Both are looked up in all events that count, since a later event may take either back wherever it stands. The pure folds are
the specification (`projections.marks`, `projections.basis`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select

from ledger.database.log_columns import LogColumns, body_text, instant, json_fields
from projections.basis import INITIAL_BASIS_KEY
from projections.marks import Marks, Price


def newest_marks(
    log: LogColumns,
    where: ColumnElement[bool] | None = None,
    *,
    reversals: LogColumns | None = None,
    reversals_where: ColumnElement[bool] | None = None,
    passed_over: Collection[int] = (),
    until: datetime | None = None,
    by: Sequence[str] = ("book",),
) -> Select[Any]:
    """The newest standing mark of each asset, a row for each. `where`: which events count; None for all.

    `reversals`: where reversals are looked up, another alias of the log, and `reversals_where` which of them count; None
    where the reversed versions are `passed_over`. `until`: later marks do not count. `by`: kept apart by these columns.
    """
    is_mark: list[ColumnElement[bool]] = [log["type"] == "mark"]
    if where is not None:
        is_mark.append(where)
    if until is not None:
        is_mark.append(log["at"] <= instant(until))
    if passed_over:
        is_mark.append(log["version"].not_in(sorted(passed_over)))
    if reversals is not None:
        is_mark.append(~_reversed(log["book"], log["version"], reversals, reversals_where))
    keys = [log[name] for name in by]
    place = func.row_number().over(
        partition_by=[*keys, log["asset"]], order_by=[log["at"].desc(), log["version"].desc()]
    )
    columns = (*by, "asset", "version", "at", "price", "body")
    ranked = select(*(log[name] for name in columns), place.label("place")).where(and_(*is_mark)).subquery("ranked")
    source = json_fields(body_text(ranked.c.body), literal("price_source"))[1]
    return select(*(ranked.c[name] for name in columns if name != "body"), source.label("source")).where(
        ranked.c.place == 1
    )


def marks_of(rows: Iterable[Any]) -> Marks:
    """The rows of `newest_marks`, of one book, by asset."""
    found = {
        row.asset: Price(Decimal(row.price), row.source, row.at.astimezone(UTC), row.version)
        for row in sorted(rows, key=lambda row: row.version)
    }
    return MappingProxyType(found)


def initial_basis(
    log: LogColumns, reversals: LogColumns, where: ColumnElement[bool] | None = None, by: Sequence[str] = ("book",)
) -> Select[Any]:
    """The version of the standing synthetic initial basis of each book that has one.

    It is the newest such commit, unless that one is reversed. `reversals`: another alias of the log.
    """
    of_key = or_(
        log["key"] == INITIAL_BASIS_KEY,
        func.substr(log["key"], 1, len(INITIAL_BASIS_KEY) + 1) == f"{INITIAL_BASIS_KEY}#",
    )
    keys = [log[name] for name in by]
    conditions = [log["type"] == "basis_commit", of_key, *([] if where is None else [where])]
    newest = (
        select(*keys, func.max(log["version"]).label("version")).where(and_(*conditions)).group_by(*keys)
    ).subquery("newest")
    book = newest.c.book
    return select(*newest.c).where(~_reversed(book, newest.c.version, reversals, None))


def _reversed(
    book: ColumnElement[Any], version: ColumnElement[Any], reversals: LogColumns, where: ColumnElement[bool] | None
) -> ColumnElement[bool]:
    found = select(reversals["version"]).where(reversals["book"] == book, reversals["reverses"] == version)
    return (found if where is None else found.where(where)).exists()
