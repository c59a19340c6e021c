"""`netbasis summary`: a book, a session or a strategy of it, on a page, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.config import read_config
from cli.commands.exposure import exposure_document, exposure_lines
from cli.commands.pnl import FIGURES
from cli.shared.options import Output, OutputOption, StrategyOption, target
from cli.shared.output import Table, counted, emit, pairs, shown, signed, text_table
from cli.shared.usage import WrongUsage

if TYPE_CHECKING:
    from engine.paper.exposure import Trace
    from engine.reports.summary import Fills, Summary
    from ledger.database.connections import Database

PICTURES = (".png", ".svg")
PARTS = ("fills", "capital", "adjustments")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(summary)


def summary(
    context: typer.Context,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only the fills of this session.")] = None,
    strategy: StrategyOption = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="A strategy's configuration: show the exposure headroom, too.")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw equity, net basis and capital movements: FILE.png or FILE.svg."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show fills, volume, fees, inventory, net basis and PnL.

    With --session or --strategy the fills are that session's or strategy's, with both they are of both; inventory, net
    basis and PnL are always the whole book's: fills plus capital, as the engine holds it. Fees paid are those of the fills
    and the adjustments with the reason fee or network_fee, which belong to a session or to none.

    Example: netbasis --db paper.db summary --session monday --config paper.yaml --plot monday.png
    """
    from engine.paper.exposure import trace
    from engine.reports.summary import summarise

    picture = _picture(plot)
    settings = None if config is None else read_config(config)
    named = target(context)
    with named.open("read") as keeper:
        found = summarise(keeper.database, keeper.resolve(named.book), session, strategy=strategy, now=named.now)
        if picture is not None:
            _draw(keeper.database, found, picture)
    exposed = None
    if settings is not None:
        balance = found.view.state.inventory.balance(found.view.book.numeraire)
        exposed = trace(balance, settings.base_size_rlusd, settings.max_rlusd_exposure)
    document = _document(found, exposed)
    emit(output, document, _lines(found, exposed, picture), csv_table=_figures(document))


def _picture(plot: str | None) -> Path | None:
    if plot is None:
        return None
    if not plot.lower().endswith(PICTURES):
        raise WrongUsage(f"--plot {plot!r}: expected a name that ends in {' or '.join(PICTURES)}")
    if "\0" in plot:
        raise WrongUsage(f"--plot {plot!r}: the path has a NUL")
    return Path(plot)


def _draw(database: Database, found: Summary, picture: Path) -> None:
    try:
        from engine.reports.plot import draw
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise WrongUsage(
            "--plot needs matplotlib, which comes with the extra plot: pip install 'netbasis[plot]'"
        ) from error
    draw(database, found, picture)


def _document(found: Summary, exposed: Trace | None) -> dict[str, Any]:
    view, fills, pnl = found.view, found.fills, found.pnl
    inventory = [
        {"asset": asset, "total": holding.total, **{part: getattr(holding, part) for part in PARTS}}
        for asset, holding in sorted(view.state.inventory.items())
    ]
    return {
        "book": view.book.name,
        "mode": view.book.mode,
        "version": view.head.version,
        "numeraire": view.book.numeraire,
        "session": found.session,
        "strategy": found.strategy,
        "fills": fills.count,
        "reversed_fills": fills.reversed,
        "first_at": fills.first_at,
        "last_at": fills.last_at,
        "volume": _volume(fills).as_dicts(),
        "fees": [{"asset": asset, "amount": amount} for asset, amount in sorted(found.fees.items())],
        "unknown_fees": fills.unknown_fees,
        "fills_pnl": found.fills_pnl,
        "inventory": inventory,
        **{name: getattr(pnl, name) for name in FIGURES},
        "missing_marks": pnl.missing_marks,
        "exposure": None if exposed is None else exposure_document(exposed),
    }


def _volume(fills: Fills) -> Table:
    rows = [
        (*pair, volume.fills, volume.base_amount, volume.quote_amount) for pair, volume in sorted(fills.volumes.items())
    ]
    return Table(("side", "base_asset", "quote_asset", "fills", "base_amount", "quote_amount"), rows)


def _figures(document: dict[str, Any]) -> Table:
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
    rows += [("missing_mark", asset, None) for asset in document["missing_marks"]]
    rows += [(f"exposure_{name}", None, value) for name, value in (document["exposure"] or {}).items()]
    return Table(("figure", "asset", "value"), rows)


def _lines(found: Summary, exposed: Trace | None, picture: Path | None) -> Iterator[str]:
    yield from _fill_lines(found)
    view = found.view
    book = f"the book {shown(view.book.name)} ({view.book.mode}) at version {view.head.version}"
    is_part = found.session is not None or found.strategy is not None
    yield f"{book}, all fills and capital" if is_part else book
    rows = [
        (asset, holding.total, *(getattr(holding, part) for part in PARTS))
        for asset, holding in sorted(view.state.inventory.items())
    ]
    yield from text_table(Table(("asset", "total", *PARTS), rows))
    yield f"in {view.book.numeraire}"
    figures = ((name.replace("_", " "), getattr(found.pnl, name)) for name in FIGURES)
    yield from pairs((name, "unknown" if figure is None else figure) for name, figure in figures)
    if found.pnl.missing_marks:
        yield f"unknown for want of a mark: {', '.join(found.pnl.missing_marks)}"
    if exposed is not None:
        yield ""
        yield from exposure_lines(exposed, view)
    if picture is not None:
        yield f"drawn: {shown(str(picture))}"


def _fill_lines(found: Summary) -> Iterator[str]:
    fills = found.fills
    named = (("session", found.session), ("strategy", found.strategy))
    what = ", ".join(f"{kind} {shown(name)}" for kind, name in named if name is not None) or "all fills"
    yield f"{what}: {counted(fills.count, 'fill')}" + (f", and {fills.reversed} reversed" if fills.reversed else "")
    if fills.count:
        yield f"from {shown(fills.first_at)} to {shown(fills.last_at)}"
        yield from text_table(_volume(fills))
    for asset, amount in sorted(found.fees.items()):
        yield f"fees paid: {shown(amount)} {asset}"
    if fills.unknown_fees:
        yield f"not counted: {counted(fills.unknown_fees, 'fee')} not reported"
    if fills.count:
        worth = "unknown" if found.fills_pnl is None else f"{signed(found.fills_pnl)} {found.view.book.numeraire}"
        yield f"what they add to total pnl, at the newest marks: {worth}"
    yield ""
