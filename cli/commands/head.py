"""`netbasis head`: the end of the log, to be kept elsewhere, signed, or stamped by somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(head)


def head(
    context: typer.Context,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEYFILE", help="Sign it with this Ed25519 key (PEM or OpenSSH).")
    ] = None,
    append: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add it to a file of heads, for `check --heads`.")
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a timestamp request (RFC 3161); the authority's answer is for `check --anchor`."
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the newest event's version and hash, to be kept elsewhere.

    Only a head that was kept elsewhere exposes a tail that was cut off, or a log that was rewritten with matching
    hashes: `check --expect-head`, `check --heads`. A signature or a timestamp says who had seen it, and when.

    Example: netbasis --db live.db head --append /mnt/elsewhere/heads.ndjson --sign desk.pem
    """
    from engine.proof.heads import append_head, statement
    from engine.proof.vouching import sign as signed
    from engine.proof.vouching import stamp_request
    from engine.reports.findings import head as report

    named = target(context)
    with named.open("read") as keeper:
        view = keeper.view(keeper.resolve(named.book))
    stated = statement(view.book.name, view.head.version, view.head.hash)
    signature = None if sign is None else signed(sign, stated)
    if append is not None:
        append_head(append, view.book.name, view.head, signature, now=named.now)
    if request is not None:
        request.write_bytes(stamp_request(stated))
    emit_report(output, report(view, signature))
