"""`netbasis backfill-basis`: the one synthetic basis commit of a book whose history predates the basis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.capital_options import (
    ActorOption,
    AmountArgument,
    AmountOption,
    AtOption,
    DryRunOption,
    KeyOption,
    outcome_document,
    the_amount,
)
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, pairs
from cli.shared.refusals import refusals_on_stdout

if TYPE_CHECKING:
    from engine.capital import InitialBasisPlan, RequestOutcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="backfill-basis")(backfill_basis)


def backfill_basis(
    context: typer.Context,
    amount: AmountArgument = None,
    amount_option: AmountOption = None,
    at: AtOption = None,
    actor: ActorOption = None,
    key: KeyOption = None,
    even_so: Annotated[
        bool, typer.Option("--even-so", help="Also on a book whose deposits all have a known basis.")
    ] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Commit, once, the initial basis of a book whose basis was not kept.

    Moves neither inventory nor the starting value. A second time it says so and changes nothing, whatever its --key.
    Refused where every deposit's basis is known, unless --even-so. Made by a person, never by a scheduler.

    Example: netbasis --db live.db backfill-basis 137.284078 --actor owner
    """
    from engine.capital import backfill_basis as run

    how_much = the_amount(amount, amount_option, "backfill-basis")
    named = target(context)
    with refusals_on_stdout(output), named.open("read" if dry_run else "write") as keeper:
        book = keeper.resolve(named.book)
        done = run(keeper, book, how_much, at=at, actor=actor, key=key, even_so=even_so, dry_run=dry_run)
    emit(output, _document(done), _lines(done))


def _document(done: RequestOutcome[InitialBasisPlan]) -> dict[str, Any]:
    plan = done.plan
    return outcome_document(done) | {
        "net_basis_before": plan.net_basis.before if plan else None,
        "net_basis_after": plan.net_basis.after if plan else None,
        "net_deposits": plan.net_deposits if plan else None,
    }


def _lines(done: RequestOutcome[InitialBasisPlan]) -> Iterator[str]:
    plan = done.plan
    if plan is None:
        yield "synthetic_initial_basis already present; no-op"
        return
    yield f"synthetic_initial_basis{'' if done.outcome else ', dry run'}, in {done.book.numeraire}"
    yield from pairs(
        (
            ("net basis before", plan.net_basis.before),
            ("net basis after", plan.net_basis.after),
            ("net deposits", plan.net_deposits),
        )
    )
    yield f"recorded at version {done.outcome.stored.version}" if done.outcome else "No changes made."
