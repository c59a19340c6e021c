"""`netbasis exposure`: what the exposure gate does now, and where it sits."""

from __future__ import annotations

import typer

from cli.commands.config import ConfigOption, read_config
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(exposure)


def exposure(context: typer.Context, config: ConfigOption, output: OutputOption = Output.TEXT) -> None:
    """Trace the exposure gate: where it sits, its threshold, and what still fits.

    The gate decides whether a quote that would raise the numeraire's balance may stand; a paper session asks the same one.

    Example: netbasis --db live.db exposure --config live_stage1.yaml
    """
    from engine.reports.exposure import exposure as report

    strategy, named = read_config(config), target(context)
    with named.open("read") as keeper:
        emit_report(output, report(keeper, keeper.resolve(named.book), strategy))
