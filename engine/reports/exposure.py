"""`exposure`: what the exposure gate does now, and where it sits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.bookkeeper import Bookkeeper, View
from engine.paper.exposure import Trace, trace
from engine.paper.strategy_config import Strategy
from engine.reports.report import Block, Figures, Report, shown


def exposure(keeper: Bookkeeper, name: str, strategy: Strategy) -> Report:
    """The gate that a paper session asks, for a book as it stands. Raises Refused `book_unknown`; StorageError."""
    view = keeper.view(name)
    found = trace_of(view, strategy)
    document = {"book": view.book.name, "version": view.head.version, "numeraire": view.book.numeraire}
    return Report(document | exposure_document(found), list(exposure_blocks(found, view)))


def trace_of(view: View, strategy: Strategy) -> Trace:
    """The gate's trace for the book's balance of its numeraire."""
    balance = view.state.inventory.balance(view.book.numeraire)
    return trace(balance, strategy.base_size_rlusd, strategy.max_rlusd_exposure)


def exposure_document(found: Trace) -> dict[str, Any]:
    """The trace for programs."""
    return {
        "module": found.module,
        "function": found.function,
        "side": found.side,
        "variables": {variable.name: variable.value for variable in found.variables},
        "balance": found.balance,
        "size": found.size,
        "limit": found.limit,
        "threshold": found.threshold,
        "headroom": found.headroom,
        "fits": found.fits,
        "fills_left": found.fills_left,
    }


def exposure_blocks(found: Trace, view: View) -> Iterator[Block]:
    """The trace for people."""
    names = ", ".join(variable.name for variable in found.variables)
    yield f"gate: {found.module}.{found.function}({names}), of the {found.side}"
    yield Figures(
        [
            (f"balance in {view.book.numeraire}", found.balance),
            ("size of a quote", found.size),
            ("limit", found.limit),
            ("threshold", found.threshold),
            ("headroom", found.headroom),
        ]
    )
    if found.fits:
        fills = "fill fits" if found.fills_left == 1 else "fills fit"
        yield f"a quote fits now; {found.fills_left} more {fills}, then the {found.side} is gated"
    else:
        yield f"the {found.side} is gated now: {shown(found.balance)} is above {shown(found.threshold)}"
