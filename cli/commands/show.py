"""`netbasis show`: one event whole."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared.moment import VERSION_DIGITS
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="VERSION|KEY", help="A number is a version, anything else a key.")],
    is_key: Annotated[bool, typer.Option("--key", help="Read it as a key, even if it is all digits.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one event in full: its fields, what it moved, what reverses and corrects it, its bytes and hash.

    The hash is SHA-256(previous_hash ‖ body); with -O json both are there exactly.

    Example: netbasis --db live.db show xrpl:4711 -O json
    """
    from engine.reports.event import event_report

    is_version = which.isascii() and which.isdecimal() and len(which) <= VERSION_DIGITS and not is_key
    named = target(context)
    with named.open("read") as keeper:
        found = event_report(keeper.database, keeper.resolve(named.book), int(which) if is_version else which)
    emit_report(output, found)
