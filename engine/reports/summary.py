"""`summary`: a book, a session or a strategy of it, on a page. What is counted is in `summarising`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.paper.exposure import Trace
from engine.paper.strategy_config import Strategy
from engine.reports.balances import PARTS, balance_table
from engine.reports.exposure import exposure_blocks, exposure_document, trace_of
from engine.reports.profit import FIGURES, change_table, fee_lines, figure_items
from engine.reports.report import Block, Figures, Report, Table, counted, shown, signed_or_unknown
from engine.reports.summarising import Fills, Summary
from projections.pnl import change


def summary(found: Summary, strategy: Strategy | None = None) -> Report:
    """A summary that was counted; with a strategy's configuration, the exposure headroom, too."""
    exposed = None if strategy is None else trace_of(found.view, strategy)
    document = _document(found, exposed)
    return Report(document, list(_body(found, exposed)), csv_rows=_figure_table(document))


def _document(found: Summary, exposed: Trace | None) -> dict[str, Any]:
    view, fills, pnl = found.view, found.fills, found.pnl
    return {
        "book": view.book.name,
        "mode": view.book.mode,
        "version": view.state.version,
        "numeraire": view.book.numeraire,
        "session": found.session,
        "strategy": found.strategy,
        "from": found.start,
        "to": found.end,
        "fills": fills.count,
        "reversed_fills": fills.reversed,
        "first_at": fills.first_at,
        "last_at": fills.last_at,
        "volume": _volume(fills).as_dicts(),
        "fees": [{"asset": asset, "amount": amount} for asset, amount in sorted(found.fees.items())],
        "unknown_fees": fills.unknown_fees,
        "fills_pnl": found.fills_pnl,
        "inventory": balance_table(view.state.inventory).as_dicts(),
        **{name: getattr(pnl, name) for name in FIGURES},
        "change": _change(found),
        "missing_marks": pnl.missing_marks,
        "exposure": None if exposed is None else exposure_document(exposed),
    }


def _change(found: Summary) -> dict[str, Any] | None:
    """What the figures changed by in the period; None without one."""
    if found.pnl_before is None:
        return None
    difference = change(found.pnl_before, found.pnl)
    return {name: getattr(difference, name) for name in FIGURES}


def _volume(fills: Fills) -> Table:
    rows = [
        (*pair, volume.fills, volume.base_amount, volume.quote_amount) for pair, volume in sorted(fills.volumes.items())
    ]
    return Table(("side", "base_asset", "quote_asset", "fills", "base_amount", "quote_amount"), rows)


def _figure_table(document: dict[str, Any]) -> Table:
    """For CSV: a figure a row; what is of an asset names it."""
    rows: list[tuple[Any, ...]] = [
        (name, None, value) for name, value in document.items() if not isinstance(value, list | tuple | dict)
    ]
    for volume in document["volume"]:
        for name, asset in (("base_amount", "base_asset"), ("quote_amount", "quote_asset")):
            rows.append((f"{volume['side']}_{name}", volume[asset], volume[name]))
    rows += [("fee", fee["asset"], fee["amount"]) for fee in document["fees"]]
    for holding in document["inventory"]:
        rows += [(f"inventory_{part}", holding["asset"], holding[part]) for part in ("total", *PARTS)]
    rows += [(f"{name}_change", None, value) for name, value in (document["change"] or {}).items()]
    rows += [("missing_mark", asset, None) for asset in document["missing_marks"]]
    rows += [(f"exposure_{name}", None, value) for name, value in (document["exposure"] or {}).items()]
    return Table(("figure", "asset", "value"), rows)


def _body(found: Summary, exposed: Trace | None) -> Iterator[Block]:
    yield from _fill_blocks(found)
    view = found.view
    book = f"the book {shown(view.book.name)} ({view.book.mode}) at version {view.state.version}"
    is_part = found.session is not None or found.strategy is not None
    yield f"{book}, all fills and capital" if is_part else book
    yield balance_table(view.state.inventory)
    if found.pnl_before is None:
        yield f"in {view.book.numeraire}"
        yield Figures(figure_items(found.pnl))
    else:
        difference = change(found.pnl_before, found.pnl)
        yield change_table(f"in {view.book.numeraire}", found.pnl_before, found.pnl, difference)
    if found.pnl.missing_marks:
        yield f"unknown for want of a mark: {', '.join(found.pnl.missing_marks)}"
    if exposed is not None:
        yield ""
        yield from exposure_blocks(exposed, view)


def _fill_blocks(found: Summary) -> Iterator[Block]:
    fills = found.fills
    named = (("session", found.session), ("strategy", found.strategy))
    what = ", ".join(f"{kind} {shown(name)}" for kind, name in named if name is not None) or "all fills"
    yield f"{what}: {counted(fills.count, 'fill')}" + (f", and {fills.reversed} reversed" if fills.reversed else "")
    if fills.count:
        yield f"from {shown(fills.first_at)} to {shown(fills.last_at)}"
        yield _volume(fills)
    yield from fee_lines(found.fees)
    if fills.unknown_fees:
        yield f"not counted: {counted(fills.unknown_fees, 'fee')} not reported"
    if fills.count:
        worth = signed_or_unknown(found.fills_pnl)
        unit = "" if found.fills_pnl is None else f" {found.view.book.numeraire}"
        yield f"what they add to total pnl, at the newest marks: {worth}{unit}"
    yield ""
