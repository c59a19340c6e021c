"""`netbasis cluster rebuild` and `cluster check`: all books of a segment store, on Spark."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.shared.options import Output, OutputOption, system_clock
from cli.shared.output import emit, emit_report, print_note, shown
from engine.reports.report import Table, counted

SegmentsOption = Annotated[
    str, typer.Option("--segments", metavar="FOLDER_OR_URL", help="The segment store, as every node reaches it.")
]
MasterOption = Annotated[
    str, typer.Option("--master", metavar="URL", help="The cluster, such as spark://host:7077 or local[4].")
]
ResultOption = Annotated[
    str | None,
    typer.Option(
        "--result",
        metavar="FOLDER_OR_URL",
        help="Where the result table goes, in place of an earlier one; by default beside the segments.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Fold and prove all books of a segment store on Spark.", no_args_is_help=True)
    group.command()(rebuild)
    group.command()(check)
    app.add_typer(group, name="cluster")


def rebuild(
    segments: SegmentsOption, master: MasterOption, result: ResultOption = None, output: OutputOption = Output.TEXT
) -> None:
    """Fold every book of a segment store, and write its projections as a table.

    The table (book, version, projection, key, column, value) is Parquet, in SEGMENTS/_projections unless --result says
    where. Prints the books that cannot be folded, and exits with 1 when there are some. Needs netbasis[spark].

    Example: netbasis cluster rebuild --segments s3://bucket/segments --master spark://head:7077
    """
    from engine.upkeep.cluster.folding import COLUMNS, fold_store
    from engine.upkeep.cluster.segment_store import require_replaceable
    from engine.upkeep.cluster.spark import spark_session

    place = result or f"{segments}/_projections"
    require_replaceable(place)
    with spark_session(master) as spark:
        folded = fold_store(spark, segments, print_note)
        spark.write(list(folded.rows()), COLUMNS, place)
    rows = [
        (each.book.name, each.version, None if each.book.name in folded.states else folded.faults[each.book.name])
        for each in folded.books
    ]
    table = Table(("book", "version", "fault"), rows)
    lines = [f"{shown(name)}: {fault}" for name, _, fault in rows if fault is not None]
    events = sum(each.version for each in folded.books if each.book.name in folded.states)
    lines.append(f"{counted(len(folded.states), 'book')} with {counted(events, 'event')} folded")
    emit(output, {"books": table.as_dicts(), "events": events}, lines, table)
    if folded.faults:
        raise typer.Exit(1)


def check(
    segments: SegmentsOption, master: MasterOption, result: ResultOption = None, output: OutputOption = Output.TEXT
) -> None:
    """Prove every book of a segment store: its files, its chain, its rules and invariants, and the manifest's states.

    Prints nothing and exits with 0 when everything holds; otherwise prints each finding and exits with 1. The outcome of
    every book is written as a table, in SEGMENTS/_checked unless --result says where. Needs netbasis[spark].

    Example: netbasis cluster check --segments s3://bucket/segments --master spark://head:7077
    """
    from engine.proof.check import LedgerReport
    from engine.reports.findings import finding_line, findings
    from engine.upkeep.cluster.proving import check_store
    from engine.upkeep.cluster.segment_store import require_replaceable
    from engine.upkeep.cluster.spark import spark_session

    place = result or f"{segments}/_checked"
    require_replaceable(place)
    with spark_session(master) as spark:
        reports = check_store(spark, segments, system_clock(), print_note)
        rows = [
            (report.book, report.head.version, len(report.findings), "\n".join(map(finding_line, report.findings)))
            for report in reports
        ]
        spark.write(rows, ("book", "version", "findings", "told"), place)
    checked = LedgerReport([], reports)
    emit_report(output, findings(checked))
    if not checked.ok:
        raise typer.Exit(1)
