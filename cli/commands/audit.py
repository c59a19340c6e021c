"""`netbasis audit basis`: the history of the basis, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import typer

from cli.shared.moment import AsOfOption, KnownAtOption, ZoneOption, moment_of
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import Table, emit, shown, text_table

if TYPE_CHECKING:
    from projections.audit import AuditRow


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

    Every deposit, withdrawal, basis commit and reversal of one, a delta of 0 included; a withdrawal with the evidence
    that it was classified from, a reversal and what it reverses with each other's version.

    Example: netbasis --db live.db audit basis
    """
    from engine.views import audit_basis as run
    from projections.audit import AuditRow

    named = target(context)
    moment = moment_of(named, as_of, known_at, zone)
    with named.open("read") as keeper:
        audit = run(keeper.database, keeper.resolve(named.book), moment)
    names = tuple(field.name for field in fields(AuditRow))
    table = Table(names, [[getattr(row, name) for name in names] for row in audit.rows])
    document = {
        "book": audit.book.name,
        "version": audit.version,
        "net_basis": audit.net_basis,
        "rows": table.as_dicts(),
    }

    def text() -> Iterator[str]:
        yield from text_table(Table(names, [_text_cells(row, names) for row in audit.rows]))
        yield f"net basis: {shown(audit.net_basis)} {audit.book.numeraire}"

    emit(output, document, text(), table)


def _text_cells(row: AuditRow, names: tuple[str, ...]) -> list[Any]:
    is_unknown = row.type == "deposit" and row.basis_delta is None
    return ["unknown" if name == "basis_delta" and is_unknown else getattr(row, name) for name in names]
