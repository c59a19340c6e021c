"""`netbasis exposure`: what the exposure gate does now, and where it sits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from cli.commands.config import ConfigOption, read_config
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, pairs, shown

if TYPE_CHECKING:
    from engine.bookkeeper import View
    from engine.paper.exposure import Trace


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(exposure)


def exposure(context: typer.Context, config: ConfigOption, output: OutputOption = Output.TEXT) -> None:
    """Trace the exposure gate: where it sits, its threshold, and what still fits.

    The gate decides whether a quote that would raise the numeraire's balance may stand; a paper session asks the same one.

    Example: netbasis --db live.db exposure --config live_stage1.yaml
    """
    from engine.paper.exposure import trace

    strategy, named = read_config(config), target(context)
    with named.open("read") as keeper:
        view = keeper.view(keeper.resolve(named.book))
    balance = view.state.inventory.balance(view.book.numeraire)
    found = trace(balance, strategy.base_size_rlusd, strategy.max_rlusd_exposure)
    document = {"book": view.book.name, "version": view.head.version, "numeraire": view.book.numeraire}
    emit(output, document | exposure_document(found), exposure_lines(found, view))


def exposure_document(found: Trace) -> dict[str, Any]:
    """The trace as JSON carries it."""
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


def exposure_lines(found: Trace, view: View) -> Iterator[str]:
    """The trace for people."""
    names = ", ".join(variable.name for variable in found.variables)
    yield f"gate: {found.module}.{found.function}({names}), of the {found.side}"
    yield from pairs(
        (
            (f"balance in {view.book.numeraire}", found.balance),
            ("size of a quote", found.size),
            ("limit", found.limit),
            ("threshold", found.threshold),
            ("headroom", found.headroom),
        )
    )
    if found.fits:
        fills = "fill fits" if found.fills_left == 1 else "fills fit"
        yield f"a quote fits now; {found.fills_left} more {fills}, then the {found.side} is gated"
    else:
        yield f"the {found.side} is gated now: {shown(found.balance)} is above {shown(found.threshold)}"
