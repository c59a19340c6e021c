"""`netbasis withdraw`: take capital out, divided into profit and principal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.ages import parse_age
from cli.shared.capital_options import (
    ActorOption,
    AmountArgument,
    AmountOption,
    AssetOption,
    AtOption,
    DryRunOption,
    KeyOption,
    NoteOption,
    PriceOption,
    TxHashOption,
    exists_line,
    outcome_document,
    the_amount,
)
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown, text_table
from cli.shared.prices import parse_prices
from cli.shared.refusals import refusals_on_stdout
from engine.reports.report import Table, signed
from ledger.amounts import subtract

if TYPE_CHECKING:
    from engine.capital import Payout, RequestOutcome
    from ledger.events import MarkUsed
    from projections.marks import Price


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(withdraw)


def withdraw(
    context: typer.Context,
    amount: AmountArgument = None,
    amount_option: AmountOption = None,
    asset: AssetOption = None,
    price: PriceOption = None,
    max_mark_age: Annotated[
        str, typer.Option(metavar="AGE", help="How old a mark may be at the withdrawal's time, such as 90s, 15m, 2h.")
    ] = "15m",
    source_note: NoteOption = None,
    tx_hash: TxHashOption = None,
    key: KeyOption = None,
    at: AtOption = None,
    late: Annotated[
        bool,
        typer.Option(
            "--late",
            help="Decide on the present state, although balances have moved since --at; the event keeps its own time.",
        ),
    ] = False,
    even_so: Annotated[
        bool,
        typer.Option("--even-so", help="Decide although imported movements wait in the inbox; the evidence says so."),
    ] = False,
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take capital out, as profit and principal; PnL does not move.

    The book's policy divides it, from the equity and the basis before it; the event keeps this evidence. Every asset
    held needs a fresh mark, or --price. In kind (--asset XRP) it is valued at its mark. A withdrawal is decided on the
    state at the end of the log; an --at before other movements is refused without --late.

    Example: netbasis --db live.db withdraw 20 --actor owner --dry-run
    """
    from engine.capital import Movement
    from engine.capital import withdraw as run

    named = target(context)
    movement = Movement(the_amount(amount, amount_option, "withdraw"), asset, source_note, tx_hash, at, actor, key)
    age = parse_age(max_mark_age)
    with refusals_on_stdout(output), named.open("read" if dry_run else "write") as keeper:
        book = keeper.terms(named.book)
        prices = parse_prices(price or (), book, keeper.now())
        done = run(
            keeper, book.name, movement, prices=prices, max_mark_age=age, late=late, even_so=even_so, dry_run=dry_run
        )
    emit(output, _document(done), _lines(done))
    for other in _not_held(done, prices):
        typer.echo(f"note: --price {shown(other)}=… was not used: there is no {shown(other)} in the book", err=True)


def _not_held(done: RequestOutcome[Payout], prices: Mapping[str, Price]) -> list[str]:
    """Assets whose price was given and not needed; a misspelt one would leave the decision to another price."""
    if done.plan is None:
        return []
    evidence = done.plan.evidence
    used = {mark.asset for mark in evidence.marks}
    if evidence.late is not None and evidence.late.mark is not None:
        used.add(evidence.late.mark.asset)
    return sorted(prices.keys() - used)


def _document(done: RequestOutcome[Payout]) -> dict[str, Any]:
    plan, document = done.plan, outcome_document(done)
    if plan is not None:
        document |= {
            "asset": plan.event.asset,
            "amount": plan.event.amount,
            "value": plan.value,
            "profit": plan.evidence.profit,
            "principal": plan.evidence.principal,
            "policy": plan.evidence.policy,
            "late": plan.evidence.late is not None,
            "equity_before": plan.equity.before,
            "equity_after": plan.equity.after,
            "basis_before": plan.net_basis.before,
            "basis_after": plan.net_basis.after,
            "total_pnl_before": plan.total_pnl.before,
            "total_pnl_after": plan.total_pnl.after,
        }
    return document


def _mark_text(mark: MarkUsed) -> str:
    return f"{mark.asset} {shown(mark.price)} ({shown(mark.source)}, {shown(mark.at)})"


def _lines(done: RequestOutcome[Payout]) -> Iterator[str]:
    plan, outcome = done.plan, done.outcome
    if plan is None:
        assert done.existing is not None
        yield exists_line(done.existing)
        return
    numeraire, evidence = done.book.numeraire, plan.evidence
    yield f"{'withdrawal' if outcome else 'withdrawal, dry run'}: {shown(plan.event.amount)} {plan.event.asset}"
    yield f"worth {shown(plan.value)} {numeraire}, divided by {evidence.policy}"
    yield f"  profit    = {shown(evidence.profit)}"
    yield f"  principal = {shown(evidence.principal)}"
    rows = [
        (name, change.before, change.after, signed(subtract(change.after, change.before)))
        for name, change in (
            ("equity", plan.equity),
            ("net basis", plan.net_basis),
            ("total pnl", plan.total_pnl),
        )
    ]
    yield from text_table(Table((f"in {numeraire}", "before", "after", "Δ"), rows))
    for mark in evidence.marks:
        yield f"mark: {_mark_text(mark)}"
    if evidence.late is not None:
        yield f"late: of {shown(plan.event.at)}, decided on the state of {shown(evidence.late.decided_at)}"
        if evidence.late.mark is not None:
            yield f"price then: {_mark_text(evidence.late.mark)}"
    if outcome is None:
        yield "No changes made."
    else:
        yield f"recorded at version {outcome.stored.version}, id {outcome.stored.event_id}"
