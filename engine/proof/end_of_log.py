"""What a check holds at the end of a log: cost basis by lots, and the projections as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from engine.cost_basis import DEFAULT_METHOD, standing_events
from engine.projection_store import read_rows
from engine.proof.figure_texts import figure_text
from engine.proof.request import COST_BASIS, PROJECTIONS_MATCH
from engine.standing_marks import marks_now
from engine.views import NOW
from ledger.amounts import amount_text, subtract
from ledger.book import Book
from ledger.integrity.findings import Finding
from projections.cost_basis import CostBasisFold
from projections.lots import METHODS
from projections.pnl import pnl
from projections.rows import differences, rows_of
from projections.state import BookState


def check_cost_basis(
    connection: Connection, book: Book, state: BookState, now: datetime, notes: list[str]
) -> Iterator[Finding]:
    """Total PnL is what its parts by lots add up to; where one is unknown, `notes` says that this is unproved."""
    events_in_time = standing_events(connection, [book.name], NOW, now=now)
    basis = CostBasisFold(book.numeraire, METHODS[DEFAULT_METHOD]).run(events_in_time)
    marks = marks_now(connection, book.name, state.marks, now)
    earned = basis.earned({asset: mark.price for asset, mark in marks.items()})
    total_pnl = pnl(state, marks, book.numeraire).total_pnl
    if earned is None or total_pnl is None:
        notes.append("cost_basis is not proved: a cost or a mark is unknown; see `netbasis pnl --lots`")
        return
    if earned == total_pnl:
        return
    detail = "total PnL is not realised + unrealised − fees + other income − baselines"
    figures = amount_text(total_pnl), amount_text(earned), amount_text(subtract(earned, total_pnl))
    yield Finding(COST_BASIS, None, detail, *figures)


def compare_projections(connection: Connection, book: Book, state: BookState) -> Iterator[Finding]:
    """Every stored figure is what the log adds up to."""
    for change in differences(read_rows(connection, book.name), rows_of(state, book)):
        both = all(isinstance(figure, Decimal) and figure.is_finite() for figure in (change.stored, change.rebuilt))
        yield Finding(
            PROJECTIONS_MATCH,
            state.version,
            f"the stored projection {change.projection} {change.key} is not what the log adds up to",
            figure_text(change.rebuilt),
            figure_text(change.stored),
            amount_text(subtract(change.stored, change.rebuilt)) if both else None,
        )
