"""`netbasis import legacy-db`: the first user's old database comes over, and is reconciled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.capital_options import DryRunOption
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, progress, shown, text_table
from cli.shared.usage import WrongUsage
from engine.reports.report import Table, counted, signed
from ledger.times import parse_time

if TYPE_CHECKING:
    from engine.importers.legacy.causes import Cause
    from engine.importers.legacy.importing import ImportReport
    from engine.importers.legacy.reconciliation import Line
    from ledger.database.faults import Access

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="TABLE.FIELD=COLUMN", help="A column of another name, say fills.price=px. Repeatable."
    ),
]
EngineStartOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="When the old engine started: the time of rows that have none."),
]


class LedgerKind(StrEnum):
    """What the old ledger's balances hold of the capital events after its first row."""

    AUTO = "auto"
    FILLS_ONLY = "fills-only"
    TOTAL = "total"


LedgerOption = Annotated[
    LedgerKind,
    typer.Option(
        "--ledger",
        help="What the balances of inventory_ledger hold of the capital events after its first row: total, each of them; "
        "fills-only, none; auto reads it from the rows.",
    ),
]


def import_legacy_db(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The old engine's SQLite file; it is only read.")],
    dry_run: DryRunOption = False,
    mapped: MapOption = None,
    engine_start: EngineStartOption = None,
    ledger: LedgerOption = LedgerKind.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Import an old engine's database: capital_events, inventory_ledger, fills, engine_state.

    The file is copied aside with its WAL and never opened where it stands. All that is new is appended in one transaction;
    run again, it adds what the old engine has written since. It ends with a reconciliation of the old figures and the
    new ones, and exit 1 where a difference is above 10⁻⁹.

    Example: netbasis --db live.db import legacy-db old.db --dry-run
    """
    from engine.importers.legacy.chain import Holds
    from engine.importers.legacy.columns import parse_mapping
    from engine.importers.legacy.importing import ImportRequest, import_legacy

    try:
        columns = parse_mapping(mapped or ())
    except ValueError as error:
        raise WrongUsage(f"--map: {error}") from error
    holds = None if ledger is LedgerKind.AUTO else Holds(ledger.value)
    request = ImportRequest(file, columns, None if engine_start is None else parse_time(engine_start), holds)
    named = target(context)
    access: Access = "read" if dry_run else "write"
    with named.open(access, sound_file=True) as keeper, progress("importing") as on_progress:
        book = keeper.resolve(named.book)
        imported = import_legacy(keeper, book, request, dry_run=dry_run, on_progress=on_progress)
    emit(output, _document(imported, file, dry_run), _lines(imported, file, dry_run), _table(imported))
    if not imported.reconciliation.holds:
        raise typer.Exit(1)


def _counts(imported: ImportReport) -> list[tuple[str, int, int]]:
    """Per event type: how many are new, and how many were there."""
    kinds = [item.event.kind for item in imported.plan.events]
    counts = Counter(zip(kinds, imported.existed, strict=True))
    return [(kind, counts[kind, False], counts[kind, True]) for kind in dict.fromkeys(kinds)]


def _table(imported: ImportReport) -> Table:
    columns = ("figure", "asset", "old", "netbasis", "recorded_here", "difference", "holds")
    rows = [[getattr(line, name) for name in columns] for line in imported.reconciliation.lines]
    return Table(columns, rows)


def _document(imported: ImportReport, file: str, dry_run: bool) -> dict[str, Any]:
    new = [
        item.event
        for item, existed in zip(imported.plan.events, imported.existed, strict=True)
        if dry_run and not existed
    ]
    return {
        "book": imported.book.name,
        "file": file,
        "dry_run": dry_run,
        "new": imported.existed.count(False),
        "existed": imported.existed.count(True),
        "version": imported.head.version,
        "head": imported.head.hash,
        "counts": Table(("type", "new", "existed"), _counts(imported)).as_dicts(),
        "quote_amounts": {name: imported.plan.quotes[name] for name in ("kept", "from_ledger", "computed", "rounded")},
        "events": [event.model_dump(exclude_none=True) for event in new],
        "ledger": imported.holds.value,
        "recorded_before": [
            {
                "row": each.planned.source,
                "version": each.stored.version,
                "key": each.stored.key,
                "tx_hash": each.stored.tx_hash,
            }
            for each in imported.recorded
        ],
        "reconciled": imported.reconciliation.holds,
        "reconciliation": [_line_document(line) for line in imported.reconciliation.lines],
        "notes": imported.notes,
    }


def _line_document(line: Line) -> dict[str, Any]:
    causes = [
        {"cause": cause.kind.name.lower(), "amount": cause.amount, "count": cause.count, "examples": cause.examples}
        for cause in line.causes
    ]
    names = ("figure", "asset", "old", "netbasis", "recorded_here", "difference", "holds")
    return {**{name: getattr(line, name) for name in names}, "causes": causes}


def _lines(imported: ImportReport, file: str, dry_run: bool) -> Iterator[str]:
    yield f"=== import of {shown(file)} into {shown(imported.book.name)}{', dry run' if dry_run else ''} ==="
    yield from text_table(Table(("events", "new", "existed"), _counts(imported)))
    if imported.plan.quotes:
        quotes = imported.plan.quotes
        yield (
            f"quote amounts of fills: {quotes['from_ledger']} from the ledger, {quotes['computed']} quantity × price, "
            f"{quotes['kept']} as kept; {quotes['rounded']} rounded to 18 decimals"
        )
    if dry_run:
        yield from _would_write(imported)
    for note in imported.notes:
        yield f"note: {shown(note)}"
    yield from _reconciliation(imported)
    new = imported.existed.count(False)
    if dry_run:
        yield "No changes made."
    else:
        yield f"Wrote {counted(new, 'event')}; the book is at version {imported.head.version}"


def _would_write(imported: ImportReport) -> Iterator[str]:
    """Every event that would be written, the fills summed up by session."""
    new = [item.event for item, existed in zip(imported.plan.events, imported.existed, strict=True) if not existed]
    others = [event for event in new if event.kind != "fill"]
    if others:
        yield "rows that WOULD be written, besides the fills:"
        columns = ("at", "type", "asset", "amount", "price", "basis_delta", "key", "source_note")
        yield from text_table(Table(columns, [_event_cells(event) for event in others]))
    sessions = Counter(event.session_id for event in new if event.kind == "fill")
    if sessions:
        yield "fills that WOULD be written:"
        yield from text_table(Table(("session", "fills"), list(sessions.items())))


def _event_cells(event: Any) -> list[Any]:
    amount = getattr(event, "amount", None) or getattr(event, "starting_value", None)
    basis = "unknown" if getattr(event, "basis_unknown", False) else getattr(event, "basis_delta", None)
    note = event.source_note or getattr(event, "reason", None)
    asset, price = getattr(event, "asset", None), getattr(event, "price", None)
    return [event.at, event.kind, asset, amount, price, basis, event.key, note]


def _reconciliation(imported: ImportReport) -> Iterator[str]:
    lines = imported.reconciliation.lines
    yield "reconciliation:"
    columns = ("figure", "old", "netbasis", "recorded here", "difference")
    rows = [(line.figure, line.old, line.netbasis, line.recorded_here, _difference(line)) for line in lines]
    yield from text_table(Table(columns, rows))
    for line in lines:
        yield from (f"  {shown(line.figure)}: {_cause(cause)}" for cause in line.causes)
    if imported.holds.value == LedgerKind.FILLS_ONLY.value:
        yield "  the old ledger holds fills alone: the capital events after its first row are added to its last balance"
    if imported.recorded:
        yield f"  recorded here before, by the same transaction, and not imported again: {len(imported.recorded)}"
        for each in imported.recorded:
            yield f"    {each.planned.source} is version {each.stored.version}, tx hash {shown(each.stored.tx_hash)}"
    if imported.reconciliation.holds:
        yield "reconciled: no difference is above 0.000000001"
    else:
        off = ", ".join(line.figure for line in lines if not line.holds)
        yield f"NOT reconciled: {shown(off)}"


def _difference(line: Line) -> str | None:
    return None if line.difference is None else signed(line.difference)


def _cause(cause: Cause) -> str:
    how_often = f", {cause.count} times" if cause.count > 1 else ""
    more = [] if cause.count <= len(cause.examples) else ["…"]
    places = "; ".join([*cause.examples, *more])
    where = f" ({shown(places)})" if cause.examples else ""
    return f"{signed(cause.amount)} {cause.kind}{how_often}{where}"
