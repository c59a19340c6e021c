"""`netbasis property-test`: do the invariants hold in futures that Hypothesis invents?"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, json_text, print_for_programs, progress, text_table
from engine.reports.findings import finding_line
from engine.reports.report import Table, counted

if TYPE_CHECKING:
    from engine.rehearsal.playing import Verdict
    from engine.rehearsal.statistics import Statistics

EXAMPLES = 200
SEEDS = 2**32


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="property-test")(property_test)


def property_test(
    context: typer.Context,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="How many futures.")] = EXAMPLES,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="S", help="The same seed gives the same futures of the same log; else a new one."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Invent possible futures of the book and check the invariants in each of them.

    The futures start from the book's present state, in memory; the database is only read. Prints how much was invented.
    When an invariant fails, the shortest sequence of events that breaks it is printed to stdout, in the form that
    `append --file` takes, the finding to stderr, and the exit code is 1.

    Example: netbasis --db live.db property-test --examples 1000 --seed 7
    """
    from engine.rehearsal.playing import property_test as run

    number = secrets.randbelow(SEEDS) if seed is None else seed
    named = target(context)
    with named.open("read") as keeper, progress("inventing") as on_progress:
        name = keeper.resolve(named.book)
        tested = run(keeper.database, name, examples=examples, seed=number, on_progress=on_progress)
    report(tested, output)


def report(tested: Verdict, output: Output) -> None:
    """Print the outcome. Exits with 1 when something does not hold."""
    rows = list(_rows(tested.statistics))
    if tested.failure is None or output is Output.JSON:
        emit(output, _document(tested), _lines(tested, rows), Table(("invented", "count"), rows))
    else:
        print_for_programs(json_text(event) for event in _sequence(tested))
    if tested.failure is not None:
        for line in _failure_lines(tested):
            typer.echo(line, err=True)
        raise typer.Exit(1)


def _document(tested: Verdict) -> dict[str, Any]:
    columns = ("invariant", "version", "expected", "actual", "difference", "detail")
    findings = tested.failure.findings if tested.failure else ()
    return {
        "book": tested.book.name,
        "version": tested.head.version,
        "seed": tested.seed,
        "ok": tested.failure is None,
        "statistics": tested.statistics,
        "findings": [{name: getattr(finding, name) for name in columns} for finding in findings],
        "events": _sequence(tested),
    }


def _sequence(tested: Verdict) -> list[dict[str, object]]:
    """The shortest failing sequence, an event as a line of NDJSON has it."""
    from engine.rehearsal.playing import given_fields

    return [given_fields(event) for event in tested.failure.events] if tested.failure else []


def _rows(statistics: Statistics) -> Iterator[tuple[str, int]]:
    """Each figure with its name, those of a group after its name."""
    for field in fields(statistics):
        figure = getattr(statistics, field.name)
        if isinstance(figure, int):
            yield field.name, figure
            continue
        for name, count in figure.items():
            yield f"{field.name}.{name}", count


def _lines(tested: Verdict, rows: list[tuple[str, int]]) -> Iterator[str]:
    yield from text_table(Table(("invented", "count"), rows))
    yield f"every invariant holds in {_futures(tested)}"


def _futures(tested: Verdict) -> str:
    futures = counted(tested.statistics.futures, "future")
    return f"{futures} from version {tested.head.version}, seed {tested.seed}"


def _failure_lines(tested: Verdict) -> Iterator[str]:
    assert tested.failure is not None
    yield from (finding_line(finding) for finding in tested.failure.findings)
    events = len(tested.failure.events)
    if events:
        yield f"after {counted(events, 'event')}; before that, every invariant held in {_futures(tested)}"
    else:
        yield "in the log itself, so no future was invented; run `netbasis check`"
