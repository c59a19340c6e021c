"""`netbasis follow`: the events of a book as they come."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from cli.shared.options import target
from cli.shared.output import answer_was_lost, json_text, print_for_programs
from cli.shared.watching import reader_is_there

POLL_S = 0.25


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(follow)


def follow(
    context: typer.Context,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=1,
            metavar="VERSION",
            help="Begin with this version, the one after the last that was read; by default with new events.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End after the newest event, instead of waiting for more.")
    ] = False,
) -> None:
    """Print each event of a book as it comes, a line of NDJSON each, in the order of their versions.

    A line has the event's place in the log (version, hash, event_id, recorded_at) and its own fields. It ends with Ctrl-C,
    or when nobody reads its output any more; a program that keeps the last version it has read goes on with --from.

    Example: netbasis --db live.db follow --from 1205
    """
    from engine.reports.following import follow as events
    from engine.reports.following import followed_fields

    pause = (lambda: False) if once else partial(reader_is_there, POLL_S)
    named = target(context)
    try:
        with named.open("read") as keeper:
            for some in events(keeper.database, keeper.resolve(named.book), start, pause):
                print_for_programs(json_text(followed_fields(stored)) for stored in some)
                if answer_was_lost():
                    return
    except KeyboardInterrupt:
        return  # this is how one ends it
