"""`netbasis reconcile`: the ledger against the balances that a venue states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.capital_options import ActorOption, DryRunOption, PriceOption
from cli.shared.moment import ZoneOption, zone_of
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown, text_table
from cli.shared.prices import parse_prices
from cli.shared.refusals import refusals_on_stdout
from cli.shared.usage import WrongUsage
from engine.reports.report import Table, or_unknown, signed

if TYPE_CHECKING:
    from engine.importers.reconcile.adjusting import AdjustmentReport

_PLANNED = {"nothing": "", "adjust": "to adjust", "propose": "to propose", "wait": "left: waits in the inbox"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    context: typer.Context,
    given: Annotated[
        list[str],
        typer.Argument(metavar="FILE|ASSET=AMOUNT…", help="More balances, after --balances.", show_default=False),
    ] = [],  # noqa: B006 - typer copies it
    balances: Annotated[
        list[str] | None,
        typer.Option(
            "--balances",
            metavar="FILE|ASSET=AMOUNT",
            help="What the venue has: JSON, CSV, a statement with balances, freqtrade's database, an amount. Repeatable.",
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As of when; by default the balances' own time, or now.")
    ] = None,
    only_named: Annotated[
        bool, typer.Option("--only-named", help="Compare only the assets that the file names.")
    ] = False,
    alias: Annotated[
        list[str] | None, typer.Option("--alias", metavar="BOOK=FILE", help="An asset's name in the book. Repeatable.")
    ] = None,
    zone: ZoneOption = None,
    price: PriceOption = None,
    adjust: Annotated[
        bool, typer.Option("--adjust", help="Record small differences as adjustments: they are profit or loss.")
    ] = False,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed with --adjust.")] = None,
    max_adjust: Annotated[
        str, typer.Option(metavar="AMOUNT", help="The largest difference to adjust, by its value in the numeraire.")
    ] = "1",
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare the ledger with the balances that a venue states; exit 1 when one is off.

    Without --adjust nothing is written. An adjustment is profit or loss, so --adjust takes only small differences of assets
    that have nothing in the inbox; a larger one waits in the inbox until a person names it: inbox resolve ID --as deposit.

    Example: netbasis --db live.db reconcile --balances balances.json --at 2026-03-01T00:00:00Z
    """
    from engine.importers.importing import refusing_unreadable
    from engine.importers.reconcile.adjusting import Terms, reconciled
    from engine.importers.reconcile.adjusting import adjust as run
    from engine.importers.reconcile.balances import read_balances
    from engine.importers.times import TimeReader
    from ledger.amounts import parse_amount

    stated = [*(balances or []), *given]
    if not stated:
        raise WrongUsage("say what the venue has: netbasis reconcile --balances FILE, or --balances XRP=51.2")
    if adjust and not (reason or "").strip():
        raise WrongUsage("--adjust needs --reason: an adjustment is profit or loss")
    named, until, most = target(context), _time(at), parse_amount(max_adjust)
    if most < 0:
        raise WrongUsage(f"--max-adjust {max_adjust!r}: expected an amount of 0 or more")
    writes = adjust and not dry_run
    with refusals_on_stdout(output), refusing_unreadable(), named.open("write" if writes else "read") as keeper:
        book = keeper.terms(named.book)
        found = read_balances(stated, aliases=_aliases(alias), times=TimeReader(zone_of(named, zone)), until=until)
        if only_named:
            found = type(found)(found.stated, is_complete=False)
        prices = parse_prices(price or (), book, keeper.now())
        plan = reconciled(keeper, book.name, found, at=until, prices=prices, most=most)
        if writes and output is Output.TEXT:
            for line in _plan_lines(plan, book.numeraire):
                typer.echo(line)
        done = run(keeper, book.name, plan, Terms(str(reason), most, actor)) if writes else plan
    lines = _done_lines(done) if writes else _lines(done, book.numeraire, adjust)
    emit(output, _document(book.name, done, adjust, writes), lines, _table(done, adjust))
    is_off = done.is_off if writes else plan.comparison.is_off
    if is_off:
        raise typer.Exit(1)


def _time(text: str | None) -> Any:
    from ledger.times import parse_time

    return None if text is None else parse_time(text)


def _aliases(given: list[str] | None) -> dict[str, str]:
    found = {}
    for text in given or ():
        ours, equals, theirs = text.partition("=")
        if not equals or not ours or not theirs:
            raise WrongUsage(f"not BOOK=FILE: {text!r}; expected such as RLUSD=RLUSD.rMxCK…")
        found[theirs] = ours
    return found


def _table(found: AdjustmentReport, adjusts: bool) -> Table:
    columns = ["asset", "expected", "actual", "difference", "at", "worth", "cause"] + (["action"] if adjusts else [])
    rows = [
        (
            each.asset,
            each.expected,
            each.actual,
            each.difference,
            each.at,
            each.worth,
            each.cause,
            *((found.actions[each.asset],) if adjusts else ()),
        )
        for each in found.comparison.found
    ]
    return Table(columns, rows)


def _document(book: str, found: AdjustmentReport, adjusts: bool, written: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "book": book,
        "version": found.comparison.view.head.version,
        "off": found.comparison.is_off,
        "assets": _table(found, adjusts).as_dicts(),
    }
    if adjusts:
        document |= {
            "written": written,
            "pnl_delta": found.pnl_delta,
            "adjusted": [outcome.version for outcome in found.outcomes],
            "proposed": [entry.id for entry in found.proposed],
            "withdrawn": [entry.id for entry in found.withdrawn],
        }
    return document


def _lines(found: AdjustmentReport, numeraire: str, adjusts: bool) -> Iterator[str]:
    rows = [
        (
            each.asset,
            each.expected,
            each.actual,
            signed(each.difference) if each.is_off else "-",
            or_unknown(each.worth),
        )
        for each in found.comparison.found
    ]
    yield from text_table(Table(("asset", "expected", "actual", "difference", f"worth in {numeraire}"), rows))
    for each in found.comparison.found:
        if each.cause is not None:
            yield f"{each.asset}: perhaps {each.cause}"
    if not found.comparison.is_off:
        yield "all balances agree"
    if adjusts:
        yield from _action_lines(found, _PLANNED)
        yield f"PnL would move by {shown(signed(found.pnl_delta))} {numeraire}"
        yield "No changes made."


def _plan_lines(plan: AdjustmentReport, numeraire: str) -> Iterator[str]:
    """What is about to be written, shown before it is."""
    yield from _lines(plan, numeraire, adjusts=False)
    yield from _action_lines(plan, _PLANNED)
    yield f"PnL moves by {shown(signed(plan.pnl_delta))} {numeraire}"


def _action_lines(found: AdjustmentReport, words: dict[str, str]) -> Iterator[str]:
    for each in found.comparison.found:
        if each.is_off:
            yield f"{each.asset}: {shown(signed(each.difference))}, {words[found.actions[each.asset]]}"


def _done_lines(done: AdjustmentReport) -> Iterator[str]:
    for outcome in done.outcomes:
        yield f"adjusted at version {outcome.version}: {outcome.stored.asset}"
    for entry in done.proposed:
        yield f"entry {entry.id} of the inbox: {entry.asset}; name it with: netbasis inbox resolve {entry.id} --as …"
    for entry in done.withdrawn:
        yield f"entry {entry.id} of the inbox was withdrawn: {entry.asset}"
    if not (done.outcomes or done.proposed or done.withdrawn):
        yield "nothing was written"
