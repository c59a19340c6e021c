"""`netbasis reverse`: take an earlier event back, having seen what that does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared.capital_options import ActorOption, DryRunOption, KeyOption, NoteOption, exists_line
from cli.shared.options import Output, OutputOption, target
from cli.shared.output import emit, shown, text_table
from cli.shared.refusals import refusals_on_stdout
from engine.reports.report import Table, signed
from ledger.amounts import subtract

if TYPE_CHECKING:
    from engine.capital import RequestOutcome, ReversalPlan
    from ledger.stored import StoredEvent

FIGURES = ("net_basis", "net_deposits", "starting_value", "total_pnl", "retained_profit", "withdrawn_profit")
TRANSFERRED = "transferred_profit"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reverse)


def reverse(
    context: typer.Context,
    version: Annotated[
        int,
        typer.Argument(metavar="VERSION", help="The version of the event, as `register` and `audit basis` show it."),
    ],
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with the event.")] = None,
    source_note: NoteOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When it counts; else the reversed event's own time.")
    ] = None,
    actor: ActorOption = None,
    key: KeyOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take an earlier event back, by an event that negates its effects.

    Shows what that does to balances, basis, starting value and PnL. A withdrawal gives back profit and principal as they
    were taken. It takes the reversed event's own time, unless --at is given, so that no earlier view keeps the mistake.
    Append the right event afterwards with --corrects VERSION.

    Example: netbasis --db live.db reverse 18 --reason "sent twice" --dry-run
    """
    from engine.capital import reverse as run
    from ledger.events import Reversal

    named = target(context)
    given = {"reason": reason, "source_note": source_note, "at": at, "actor": actor, "key": key}
    fields = {name: text for name, text in given.items() if text is not None}
    reversal = Reversal.model_validate({"reverses": version, **fields})
    with refusals_on_stdout(output), named.open("read" if dry_run else "write") as keeper:
        book = keeper.resolve(named.book)
        done = run(keeper, book, reversal, dry_run=dry_run)
    if done.plan is None:
        assert done.existing is not None
        emit(output, _existing_document(book, done.existing), [exists_line(done.existing)])
    else:
        emit(output, _document(done, done.plan), _lines(done, done.plan))


def _existing_document(book: str, existing: StoredEvent) -> dict[str, Any]:
    place = {"reverses": existing.reverses, "version": existing.version}
    return {"book": book, "written": False, "existed": True, **place}


def _document(done: RequestOutcome[ReversalPlan], plan: ReversalPlan) -> dict[str, Any]:
    outcome = done.outcome
    parts = {"before": plan.pnl_before, "after": plan.pnl_after}
    return {
        "book": done.book.name,
        "written": outcome is not None,
        "existed": False,
        "reverses": plan.target.version,
        "version": outcome.stored.version if outcome else None,
        "balances": plan.balances,
        **{when: {name: getattr(part, name) for name in (*FIGURES, TRANSFERRED)} for when, part in parts.items()},
        "missing_marks": plan.missing_marks,
        "other": None if plan.other is None else {"book": plan.other.book, "reverses": plan.other.version},
        "warnings": list(_warnings(plan)),
    }


def _lines(done: RequestOutcome[ReversalPlan], plan: ReversalPlan) -> Iterator[str]:
    outcome, target = done.outcome, plan.target
    title = "reversal" if outcome else "reversal, dry run"
    yield f"{title} of version {target.version}: {target.type} of {shown(target.at)}"
    rows = [(change.asset, change.before, change.after) for change in plan.balances]
    before, after = plan.pnl_before, plan.pnl_after
    shown_here = [*FIGURES, *([TRANSFERRED] if before.transferred_profit != after.transferred_profit else [])]
    rows += [(name.replace("_", " "), getattr(before, name), getattr(after, name)) for name in shown_here]
    columns = ("", "before", "after", "Δ")
    yield from text_table(Table(columns, [(*row, _difference(row[1], row[2])) for row in rows]))
    if plan.missing_marks:
        yield f"unknown for want of a mark: {', '.join(plan.missing_marks)}"
    if plan.other is not None:
        yield f"with it the other side of the transfer: version {plan.other.version} of the book {shown(plan.other.book)}"
    for warning in _warnings(plan):
        yield f"warning: {warning}"
    yield f"recorded at version {outcome.stored.version}" if outcome else "No changes made."


def _difference(before: Any, after: Any) -> Any:
    return None if before is None or after is None else signed(subtract(after, before))


def _warnings(plan: ReversalPlan) -> Iterator[str]:
    if plan.basis_falls_below_zero:
        yield f"net basis falls below 0, to {shown(plan.pnl_after.net_basis)}"
    if plan.other is not None and plan.other.plan.basis_falls_below_zero:
        yield f"net basis of {shown(plan.other.book)} falls below 0, to {shown(plan.other.plan.pnl_after.net_basis)}"
    if plan.classified_later:
        versions = ", ".join(str(version) for version in plan.classified_later)
        yield (
            f"later withdrawals were classified on top of it and stay as they are: {versions}; to have them classified "
            "anew, reverse them first, the newest one first, and withdraw again"
        )
