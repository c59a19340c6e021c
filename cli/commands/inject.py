"""`netbasis inject`: add capital.

The labels and their order are those of the first user's tool, so that what reads its output goes on reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

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
    require_no_other_price,
    the_amount,
)
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown
from cli.shared.prices import parse_prices
from cli.shared.refusals import refusals_on_stdout
from engine.reports.report import signed

if TYPE_CHECKING:
    from engine.capital import Injection, RequestOutcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(inject)


def inject(
    context: typer.Context,
    amount: AmountArgument = None,
    amount_option: AmountOption = None,
    asset: AssetOption = None,
    price: PriceOption = None,
    source_note: NoteOption = None,
    tx_hash: TxHashOption = None,
    key: KeyOption = None,
    at: AtOption = None,
    actor: ActorOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Add capital; PnL does not move.

    Records a deposit and moves the starting value with it, in one transaction. Run twice it is two injections; with the
    same --tx-hash or --key the second says that it is there and writes nothing.

    Example: netbasis --db live.db inject 50 --actor owner --dry-run
    """
    from engine.capital import Movement
    from engine.capital import inject as run
    from ledger.database.connections import without_password

    named = target(context)
    movement = Movement(the_amount(amount, amount_option, "inject"), asset, source_note, tx_hash, at, actor, key)
    with refusals_on_stdout(output), named.open("read" if dry_run else "write") as keeper:
        book = keeper.terms(named.book)
        prices = parse_prices(price or (), book, keeper.now())
        injected = asset or book.numeraire
        require_no_other_price(dict(prices), injected, book.numeraire)
        given = prices.get(injected)
        done = run(keeper, book.name, movement, price=given.price if given else None, dry_run=dry_run)
    emit(output, _document(done), _lines(done, without_password(named.location())))


def _document(done: RequestOutcome[Injection]) -> dict[str, Any]:
    plan = done.plan
    return outcome_document(done) | {
        "net_basis_before": plan.net_basis.before if plan else None,
        "net_basis_after": plan.net_basis.after if plan else None,
        "starting_value_before": plan.starting_value.before if plan else None,
        "starting_value_after": plan.starting_value.after if plan else None,
        "mark_difference": plan.mark_difference if plan else None,
    }


def _lines(done: RequestOutcome[Injection], location: str) -> Iterator[str]:
    from projections.engine_state import starting_value_key

    plan, outcome = done.plan, done.outcome
    if plan is None:
        assert done.existing is not None
        yield exists_line(done.existing)
        return
    event, numeraire = plan.event, done.book.numeraire
    starting_value = starting_value_key(numeraire)
    yield f"=== FLAG-031 injection{'' if outcome else ' dry-run'} ==="
    yield f"DB: {shown(location)}"
    yield f"Amount: {signed(event.amount)} {event.asset}"
    yield f"net_basis_before = {shown(plan.net_basis.before)}"
    yield f"net_basis_after = {shown(plan.net_basis.after)}"
    yield f"{starting_value} (before) = {shown(plan.starting_value.before)}"
    yield f"{starting_value} (after) = {shown(plan.starting_value.after)}"
    yield f"capital_events row {'written' if outcome else 'that WOULD be written'}:"
    yield "  event_type = deposit"
    yield f"  asset = {event.asset}"
    yield f"  amount = {shown(event.amount)}"
    yield f"  basis_delta_{numeraire.lower()} = {signed(plan.basis_delta)}"
    yield f"  source_note = {shown(event.source_note)}"
    yield f"  tx_hash = {'NULL' if event.tx_hash is None else shown(event.tx_hash)}"
    if plan.mark is not None and plan.mark_difference is not None:
        difference = f"{signed(plan.mark_difference)} {numeraire}"
        yield f"value at the newest mark, {shown(plan.mark.price)}, less value at this price = {difference}"
    yield f"Wrote capital_event id={outcome.stored.event_id}" if outcome else "No changes made."
