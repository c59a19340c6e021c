"""`netbasis audit basis`: the history of the basis, line by line."""

from __future__ import annotations

import typer

from cli.shared.moment import AsOfOption, KnownAtOption, ZoneOption, moment_of
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the group."""
    audit = typer.Typer(help="The history of the basis, line by line.", no_args_is_help=True)
    audit.callback()(_audit)
    audit.command(name="basis")(audit_basis)
    app.add_typer(audit, name="audit")


def _audit() -> None:
    pass


def audit_basis(
    context: typer.Context,
    as_of: AsOfOption = None,
    known_at: KnownAtOption = None,
    zone: ZoneOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show every movement of the basis, with the basis after it.

    Lists every deposit, withdrawal and basis commit and their reversals, even when the basis does not change. A withdrawal
    shows the evidence that it was classified from; a reversal and the event it reverses show each other's version.

    Example: netbasis --db live.db audit basis
    """
    from engine.reports.basis_history import basis_history

    named = target(context)
    moment = moment_of(named, as_of, known_at, zone)
    with named.open("read") as keeper:
        emit_report(output, basis_history(keeper.database, keeper.resolve(named.book), moment))
