"""`netbasis append`: one event as given, or a file or stream of them.

A command per event type is made from the type's own model, so that options, help and reference cannot drift from the
fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic.fields import FieldInfo

from cli.shared.append_file import append_file, append_stream
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown
from cli.shared.refusals import Rejects, refusals_on_stdout
from cli.shared.usage import WrongUsage
from engine.reports.report import counted
from ledger.events import (
    Adjustment,
    Baseline,
    BasisCommit,
    Deposit,
    Event,
    Fill,
    Mark,
    Withdrawal,
)

if TYPE_CHECKING:
    from ledger.appender import Outcome
    from ledger.book import Book

_EXAMPLES: dict[type[Event], str] = {
    Fill: "fill --side buy --base-amount 11.27 --quote-amount 15.00 --key venue:4711",
    Deposit: "deposit --asset XRP --amount 39.27 --price 1.3314",
    Withdrawal: "withdrawal --asset RLUSD --amount 20 --basis-delta -12.50",
    BasisCommit: "basis-commit --basis-delta 137.284078 --actor owner",
    Mark: "mark --asset XRP --price 1.3314 --price-source venue",
    Adjustment: "adjustment --asset XRP --amount -0.000012 --reason network_fee",
    Baseline: "baseline --starting-value 137.284078",
}
# One side of a transfer is not appended by itself: see `netbasis transfer`.
_NOT_OPTIONS = frozenset({"type", "book", "transfer"})
_METAVARS = {
    "at": "TIME",
    "corrects": "VERSION",
    "evidence": "JSON",
    "side": "buy|sell",
    "liquidity": "maker|taker",
}


def register(app: typer.Typer) -> None:
    """Add the group: a command per event type, and the file."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(append)
    for model, example in _EXAMPLES.items():
        name = model.model_fields["type"].default.replace("_", "-")
        group.command(name=name, help=f"{model.__doc__}\n\nExample: netbasis --db live.db append {example}")(
            _command(model)
        )
    app.add_typer(group, name="append")


def append(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="NDJSON, one event a line, each with a key; - reads standard input."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --file: commit every N lines, or after a second without input, and answer each.",
        ),
    ] = None,
    expect_version: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="With --file: refuse unless the book is at this version.")
    ] = None,
    rejects: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --file: add bad lines to this file with their reasons, go on, and exit 1 at the end.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Append one event, or a file or stream of events.

    A file is one transaction: all of its new events or, at the first bad line, none (with --rejects, all
    but the bad ones). Appending the same file again adds nothing: each event's key tells that it is there.
    With -O json or ndjson a refusal is also an object on stdout: line, code, field, expected, actual.

    Example: my-bot | netbasis --db live.db append --file - --batch 1
    """
    if context.invoked_subcommand is not None:
        if file is not None:
            raise WrongUsage("--file takes no event type: each line of the file has its own")
        if (batch, expect_version, rejects, output) != (None, None, None, Output.TEXT):
            raise WrongUsage("give the options of an event type after it")
        return
    if file is None:
        raise WrongUsage("say what to append: an event type (see `netbasis append --help`), or --file FILE")
    if batch is not None and expect_version is not None:
        raise WrongUsage("--expect-version goes with one transaction, --batch makes many")
    with Rejects(rejects, output) if rejects else nullcontext() as aside, refusals_on_stdout(output):
        if batch is None:
            append_file(target(context), file, expect_version, output, aside)
        else:
            append_stream(target(context), file, batch, output, aside)
    if aside is not None and aside.count:
        typer.echo(f"rejected: {counted(aside.count, 'line')}, written to {shown(rejects)}", err=True)
        raise typer.Exit(1)


def _command(model: type[Event]) -> Callable[..., None]:
    """A command whose options are the fields of an event type."""

    def command(context: typer.Context, expect_version: int | None, output: Output, **fields: Any) -> None:
        given = {name: value for name, value in fields.items() if value is not None and value not in (False, [])}
        named = target(context)
        with refusals_on_stdout(output), named.open("write") as keeper:
            book = keeper.terms(named.book)
            event = model.model_validate(_with_defaults(model, given, book))
            outcome = keeper.append(book.name, event, expected_version=expect_version, refuse_reversed=True)
            # What was written is answered without asking the database again: it may have gone meanwhile.
            head = keeper.view(book.name).head if outcome.existed else outcome.stored
        document = {
            "appended": 0 if outcome.existed else 1,
            "existed": 1 if outcome.existed else 0,
            "version": head.version,
            "head": head.hash,
        }
        emit(output, document, [_answer(outcome)])

    options = [_option(name, field) for name, field in model.model_fields.items() if name not in _NOT_OPTIONS]
    # First what must be given, then the type's own, then what every event has.
    options.sort(key=lambda option: (option.default is not inspect.Parameter.empty, option.name in Event.model_fields))
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_keyword("context", typer.Context), *options, _EXPECT_VERSION, _keyword("output", OutputOption, Output.TEXT)]
    )
    command.__annotations__ = {
        parameter.name: parameter.annotation for parameter in inspect.signature(command).parameters.values()
    }
    return command


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_EXPECT_VERSION = _keyword(
    "expect_version",
    Annotated[int | None, typer.Option(min=0, metavar="N", help="Refuse unless the book is at this version.")],
    None,
)


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    if field.default is False:
        return _keyword(name, Annotated[bool, typer.Option(flag, help=_help(field))], False)
    option = typer.Option(flag, metavar=_METAVARS.get(name, "TEXT"), help=_help(field))
    if name == "corrects":
        return _keyword(name, Annotated[int | None, option], None)
    if name == "tags":
        one = typer.Option("--tag", metavar="TEXT", help="A name to group by, up to 16. Repeatable.")
        return _keyword(name, Annotated[list[str] | None, one], None)
    if name in _BOOK_DEFAULTS or not field.is_required():
        return _keyword(name, Annotated[str | None, option], None)
    return _keyword(name, Annotated[str, option])


def _help(field: FieldInfo) -> str:
    """The field's description, where null is an option that is left out."""
    return (field.description or "").replace("null", "left out")


# Left out, these are the book's.
_BOOK_DEFAULTS = {"base_asset": "base_asset", "quote_asset": "numeraire"}


def _with_defaults(model: type[Event], given: dict[str, Any], book: Book) -> dict[str, Any]:
    from ledger.parsing import parse_json

    fields = dict(given)
    if "evidence" in fields:
        fields["evidence"] = parse_json(fields["evidence"])
    for name, of_book in _BOOK_DEFAULTS.items():
        if name in model.model_fields:
            fields.setdefault(name, getattr(book, of_book))
    return fields


def _answer(outcome: Outcome) -> str:
    stored = outcome.stored
    if outcome.existed:
        return f"exists: {stored.type} at version {stored.version}, key {stored.key}; nothing was written"
    return f"appended {stored.type} at version {stored.version}, key {stored.key}, hash {shown(stored.hash)}"
