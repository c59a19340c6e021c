"""`import`: what was added, was there already, did not go in, waits, and is held back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.reports.report import Block, Report, Table, counted, shown

if TYPE_CHECKING:
    from engine.importers.importing import ImportReport
    from engine.importers.items import QuarantinedRow

_QUARANTINED = ("file", "place", "reason", "text")
_WAITING = ("id", "at", "type", "asset", "amount", "cause", "detail", "file", "place")
# So many lines of each sort people are shown; programs are given all that are kept.
LINES = 20


def imports(done: ImportReport) -> Report:
    """What an import did, or in a dry run would do."""
    quarantined = Table(
        _QUARANTINED, [(each.origin.file, each.origin.place, each.reason, each.text) for each in done.quarantined]
    )
    waiting = Table(_WAITING, [[getattr(entry, name) for name in _WAITING] for entry in done.waiting])
    stopped = done.stopped_at
    document: dict[str, Any] = {
        "book": done.book.name,
        "version": done.head.version,
        "head": done.head.hash,
        "written": done.is_written,
        "whole": done.is_whole,
        "kinds": list(done.kinds),
        "rows": done.rows,
        "added": dict(sorted(done.added.items())),
        "existed": done.existed,
        "same": done.same,
        "internal": done.internal,
        "repeated": done.repeated,
        "dismissed": done.dismissed,
        "passed_over": dict(sorted(done.passed_over.items())),
        "contracts": dict(sorted(done.contracts.items())),
        "quarantine": done.quarantine,
        "quarantined": quarantined.as_dicts(),
        "waiting": waiting.as_dicts(),
        "stopped_at": None if stopped is None else {"id": stopped.id, "at": stopped.at, "file": stopped.file},
        "held": done.held,
    }
    return Report(document, list(_body(done)), notes=list(_notes(done)))


def batch(done: ImportReport, quarantined: Sequence[QuarantinedRow]) -> Report:
    """A line about a stream after a batch. `quarantined`: the rows of it that did not go in."""
    parts = [counted(done.rows, "row"), f"{sum(done.added.values())} added", f"{done.existed} existed"]
    if done.quarantine:
        parts.append(f"{done.quarantine} quarantined")
    waiting = f"; {counted(len(done.waiting), 'movement')} in the inbox" if done.waiting else ""
    line = f"{', '.join(parts)}; version {done.head.version}{waiting}"
    return Report({}, [line], notes=[_note(each) for each in quarantined])


def _body(done: ImportReport) -> Iterator[Block]:
    events = sum(done.added.values())
    what = ", ".join(f"{kind} {count}" for kind, count in sorted(done.added.items()))
    verb = "added" if done.is_written or done.is_refused else "would be added"
    counts = f"{counted(done.rows, 'row')}; {counted(events, 'event')} {verb}"
    yield f"{' and '.join(done.kinds)}: {counts}{f' ({what})' if what else ''}"
    there = [
        f"{done.existed} existed" if done.existed else "",
        f"{_was(done.same)} in the book under another key" if done.same else "",
        f"{done.internal} moved between accounts of this book" if done.internal else "",
        f"{_was(done.repeated)} in the files more than once" if done.repeated else "",
        f"{_was(done.dismissed)} dismissed before" if done.dismissed else "",
    ]
    if any(there):
        yield "; ".join(part for part in there if part)
    for reason, count in sorted(done.passed_over.items()):
        yield f"passed over: {count} ({reason})"
    for symbol, count in sorted(done.contracts.items()):
        yield f"positions, which are no fills: {counted(count, 'row')} of {symbol}"
    yield from _waiting(done)
    if done.is_written:
        yield f"the book {done.book.name} is at version {done.head.version}"
    elif done.is_refused:
        yield "nothing was added: --strict takes all rows or none, and some cannot go in"
    else:
        yield "No changes made."


def _was(count: int) -> str:
    return f"{count} was" if count == 1 else f"{count} were"


def _waiting(done: ImportReport) -> Iterator[Block]:
    if done.waiting:
        yield f"waiting in the inbox: {counted(len(done.waiting), 'movement')}"
        for entry in list(done.waiting)[:LINES]:
            prefix = f"{entry.id}: " if entry.id else ""
            yield f"  {prefix}{entry.type} of {shown(entry.amount)} {entry.asset} at {shown(entry.at)}: {entry.detail}"
        if len(done.waiting) > LINES:
            yield f"  … and {len(done.waiting) - LINES} more; see netbasis inbox"
    if done.held and done.stopped_at is not None:
        number = done.stopped_at.id
        resolve = f"resolve it (netbasis inbox resolve {number} …)" if number else "resolve it"
        behind = f"entry {number} of the inbox" if number else "it"
        rows = counted(done.held, "row")
        yield f"held back behind {behind}: {rows}; {resolve} and import again, or go on past it with --pass"


def _note(quarantined: QuarantinedRow) -> str:
    return f"quarantined: {quarantined.origin}: {quarantined.reason}"


def _notes(done: ImportReport) -> Iterator[str]:
    """What did not go in, for stderr."""
    for each in list(done.quarantined)[:LINES]:
        yield _note(each)
    if done.quarantine > LINES:
        yield f"quarantined: {done.quarantine - LINES} more; -O json lists them"
