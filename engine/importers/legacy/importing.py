"""One import of an old database, or its dry run: copy, read, plan, append in one transaction, reconcile.

A dry run takes the book's log and adds the new events to it in memory; it writes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain as chained

from sqlalchemy import Connection, select

from engine.bookkeeper import Bookkeeper, View
from engine.importers.legacy.chain import BalanceChain, Holds, chains_of
from engine.importers.legacy.columns import ColumnNames
from engine.importers.legacy.copying import copied_aside
from engine.importers.legacy.events import OPENINGS, PREFIX, EarlierImports, ImportPlan, PlannedEvent, plan_events
from engine.importers.legacy.holding import read_holds
from engine.importers.legacy.movements import RecordedMovement, movements_recorded_before
from engine.importers.legacy.reconciliation import Reconciliation, reconcile
from engine.importers.legacy.rows import LegacyRows, ReadingOptions, read_legacy
from ledger import store
from ledger.amounts import ZERO, add
from ledger.appender import EVENTS_AT_ONCE
from ledger.book import Book, Head
from ledger.database.tables import events
from ledger.effects import Effects, effects_of
from ledger.errors import NetbasisError
from ledger.idempotency import require_same
from ledger.mapper import stored_event
from ledger.progress import OnProgress
from ledger.rules import complete
from ledger.stored import StoredEvent
from projections.basis import INITIAL_BASIS_KEY
from projections.engine_state import starting_value_key


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import.

    file:          the path of the old database
    mapped:        columns with unusual names
    engine_start:  the time of rows that have none, UTC; None when all have one
    holds:         whether the ledger's balances include capital events; None to find out from the rows
    """

    file: str
    mapped: ColumnNames
    engine_start: datetime | None = None
    holds: Holds | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or in a dry run would do.

    book:            its terms
    head:            the end of its log afterwards
    plan:            what was planned
    existed:         for each event of the plan, whether it was in the book already
    recorded:        the movements that others had recorded before, each with the old row of the same transaction
    holds:           whether the old ledger's balances include capital events
    reconciliation:  the old figures compared with the new ones
    notes:           what a person should know beyond the figures
    """

    book: Book
    head: Head
    plan: ImportPlan
    existed: Sequence[bool]
    recorded: Sequence[RecordedMovement]
    holds: Holds
    reconciliation: Reconciliation
    notes: list[str]


def import_legacy(
    keeper: Bookkeeper,
    name: str,
    request: ImportRequest,
    *,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Import what is new in an old database into a book, in one transaction; a dry run only reads.

    `on_progress`: called with the number of events done. Raises Refused, naming the old row; KeyConflict for a row that was
    imported before with different content; MovementConflict; StorageError.
    """
    view = keeper.view(name)
    rows = _read(view.book, request)
    chains = chains_of(rows)
    holds = request.holds or read_holds(chains)
    if holds is not Holds.TOTAL:
        chains = chains_of(rows, holds)
    with keeper.database.reading() as connection:
        known = _known(connection, name)
    plan = plan_events(rows, chains, view.book, known)
    existed, recorded = ([], []) if dry_run else _append(keeper, name, plan.events, on_progress)
    with keeper.database.reading() as connection:
        log = store.read_events(connection, name)
        if dry_run:
            recorded = movements_recorded_before(connection, name, plan.events)
            rehearsed = list(_rehearse(connection, view, keeper.now(), plan.events, recorded))
            existed = [stored is None for stored in rehearsed]
            log = chained(log, (stored for stored in rehearsed if stored is not None))
        reconciliation = reconcile(rows, chains, view.book.numeraire, log, plan, recorded)
    after = view if dry_run else keeper.view(name)
    notes = _notes(rows, chains, plan, view)
    return ImportReport(view.book, after.head, plan, existed, recorded, holds, reconciliation, notes)


def _read(book: Book, request: ImportRequest) -> LegacyRows:
    how = ReadingOptions(
        numeraire=book.numeraire,
        base_asset=book.base_asset,
        starting_value_key=starting_value_key(book.numeraire),
        mapped=request.mapped,
        engine_start=request.engine_start,
    )
    with copied_aside(request.file) as copy:
        return read_legacy(copy, request.file, how)


def _known(connection: Connection, name: str) -> EarlierImports:
    """What earlier imports left in the book, from the columns of `events` alone."""
    query = select(events.c.key, events.c.type, events.c.asset, events.c.asset_delta)
    keys: set[str] = set()
    openings: dict[str, Decimal] = {}
    for key, kind, asset, delta in connection.execute(
        query.where(events.c.book == name, events.c.key.startswith(PREFIX, autoescape=True))
    ):
        keys.add(key)
        if kind == "adjustment" and key.startswith(OPENINGS):
            openings[asset] = add(openings.get(asset, ZERO), delta)
    return EarlierImports(frozenset(keys), openings)


def _append(
    keeper: Bookkeeper, name: str, planned: Sequence[PlannedEvent], on_progress: OnProgress | None
) -> tuple[list[bool], list[RecordedMovement]]:
    """Append the events; for each, whether it existed, and the movements that others had recorded before."""
    appended: list[bool] = []
    with keeper.transaction(name) as transaction:
        recorded = movements_recorded_before(transaction.connection, name, planned)
        known = _keys_of(recorded)
        new = [item for item in planned if item.event.key not in known]
        try:
            for outcome in transaction.append_all(item.event for item in new):
                appended.append(outcome.existed)
                if on_progress is not None and len(appended) % store.ROWS_AT_ONCE == 0:
                    on_progress(len(appended))
        except NetbasisError as error:
            if error.index is not None:
                error.where = new[error.index].source
            raise
    answers = iter(appended)
    return [item.event.key in known or next(answers) for item in planned], recorded


def _keys_of(recorded: Sequence[RecordedMovement]) -> set[str | None]:
    """The keys of the old rows that are not appended."""
    return {each.planned.event.key for each in recorded}


class _Rehearsal:
    """The history that the effects of new events need in a dry run."""

    def __init__(self, starting_value: Decimal) -> None:
        self._starting_value = starting_value

    def starting_value(self) -> Decimal:
        return self._starting_value

    def effects_at(self, version: int) -> Effects:
        raise AssertionError("an import reverses nothing")

    def passed(self, effects: Effects) -> None:
        """Add an event's effects."""
        self._starting_value = add(self._starting_value, effects.starting_value_delta)


def _rehearse(
    connection: Connection,
    view: View,
    now: datetime,
    planned: Sequence[PlannedEvent],
    recorded: Sequence[RecordedMovement],
) -> Iterator[StoredEvent | None]:
    """What each event would be stored as, except for its bytes; None for one that exists. Raises as appending does."""
    history = _Rehearsal(store.starting_value(connection, view.book.name))
    version = view.head.version
    known = _keys_of(recorded)
    for start in range(0, len(planned), EVENTS_AT_ONCE):
        chunk = planned[start : start + EVENTS_AT_ONCE]
        there = store.find_keys(connection, view.book.name, [item.event.key for item in chunk if item.event.key])
        for item in chunk:
            stored = there.get(item.event.key or "")
            try:
                if item.event.key in known:
                    yield None
                    continue
                if stored is not None:
                    require_same(item.event, stored)
                    yield None
                    continue
                version += 1
                yield _rehearsed(item, view.book, history, version, now)
            except NetbasisError as error:
                error.where = item.source
                raise


def _rehearsed(item: PlannedEvent, book: Book, history: _Rehearsal, version: int, now: datetime) -> StoredEvent:
    event = complete(item.event, book)
    effects = effects_of(event, book, history)
    history.passed(effects)
    return stored_event(
        event.model_copy(update={"at": event.at or now}),
        effects,
        book=book.name,
        version=version,
        event_id="",
        recorded_at=now,
        body=b"",
        digest=b"",
        reversed_event=None,
    )


def _notes(rows: LegacyRows, chains: dict[str, BalanceChain], plan: ImportPlan, view: View) -> list[str]:
    """What a person should know beyond the figures."""
    notes = [*rows.notes, *plan.notes]
    unknown = sum(getattr(item.event, "basis_unknown", False) for item in plan.events)
    is_stated = any(item.event.key == INITIAL_BASIS_KEY for item in plan.events)
    if unknown and not is_stated and view.state.basis.initial_basis_version is None:
        notes.append(f"deposits without a known basis: {unknown}; state it once with `netbasis backfill-basis`")
    unknown_fees = sum(fill.fee_amount is None for fill in rows.fills)
    if unknown_fees:
        notes.append(f"fills without a known fee: {unknown_fees}")
    notes += [
        f"no ledger row of {chain.asset}: its total in the old database is unknown"
        for chain in chains.values()
        if chain.total is None
    ]
    is_first = any(item.event.kind == "baseline" for item in plan.events)
    if is_first and view.head.version > 1:
        notes.append("the book was not new: the baseline replaces the starting value that was recorded in it before")
    return notes
