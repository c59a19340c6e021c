"""`netbasis status`: what a desk watches, for people and for machines."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.shared.exporting import FileOption, write_lines
from cli.shared.options import Output, target
from cli.shared.output import emit_report
from cli.shared.usage import WrongUsage


class StatusOutput(StrEnum):
    """The format of a status."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    PROMETHEUS = "prometheus"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    context: typer.Context,
    file: FileOption = None,
    output: Annotated[
        StatusOutput,
        typer.Option("-O", "--output", help="text for people; for programs json, csv, ndjson or prometheus"),
    ] = StatusOutput.TEXT,
) -> None:
    """Show what a desk watches, of all books unless --book names one: head, ages, balances, profit, what waits.

    With -O prometheus and -o FILE it writes a file for the node exporter's textfile collector, atomically. Unknown
    figures are left out. The dashboard for Grafana is examples/grafana-dashboard.json.

    Example: netbasis --db live.db status -O prometheus -o /var/lib/node_exporter/netbasis.prom
    """
    from engine.reports.prometheus import exposition
    from engine.reports.status import read_status, status_report

    if file is not None and output is not StatusOutput.PROMETHEUS:
        raise WrongUsage("-o goes with -O prometheus")
    named = target(context)
    with named.open("read") as keeper:
        found = read_status(keeper.database, named.book, named.now)
    if output is StatusOutput.PROMETHEUS:
        write_lines(exposition(found, named.now), file)
    else:
        emit_report(Output(output.value), status_report(found, named.now))
