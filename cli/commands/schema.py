"""`netbasis schema`: the JSON Schema of the events that a file may have."""

from __future__ import annotations

import json

import typer

from cli.shared.exporting import FileOption, write_lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(file: FileOption = None) -> None:
    """Print a JSON Schema of the events that `append --file` takes.

    Whatever depends on the book or on its log, such as whether a price is needed, is for `append` alone to say.

    Example: netbasis schema -o event.schema.json
    """
    from ledger.event_schema import event_schema

    write_lines(json.dumps(event_schema(), indent=1, ensure_ascii=False).splitlines(), file)
