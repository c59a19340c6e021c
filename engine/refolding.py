"""A book's log, folded anew: for a rebuild, and for a migration after which the projections count otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from engine.projection_store import count_rebuild, read_rows, replace_rows
from engine.standing_marks import MarksOfLog
from ledger import store
from ledger.book import Head
from ledger.errors import StorageError, StorageFault
from ledger.integrity.raw_fold import raw_runs
from ledger.integrity.raw_rows import any_text
from ledger.progress import OnProgress
from ledger.stored import StoredEvent
from projections.fast_fold import after as after_tally
from projections.marks import Selection
from projections.rows import Difference, Rows, differences, rows_of
from projections.state import EMPTY, BookState, fold


def refold_all(connection: Connection) -> None:
    """Fold every book anew in the connection's writing transaction, and put right what is stored otherwise.

    Raises StorageError, as when the log cannot be read.
    """
    for name in store.book_names(connection):
        book, head = store.require_book(connection, name, lock=True)
        state = folded(connection, name, EMPTY, None)
        require_head(state, head)
        wanted = rows_of(state, book)
        if changes_of(connection, wanted, name):
            replace_rows(connection, name, wanted)
            count_rebuild(connection, name)


def require_head(state: BookState, head: Head) -> None:
    """Raises StorageError `database_damaged` when a fold of the whole log does not end at the book's head."""
    if state.version != head.version:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED,
            "the log does not end where the book's head says, which a rebuild cannot repair",
            expected=f"version {head.version}",
            actual=f"version {state.version}",
            advice="run `netbasis check`, and restore a backup",
        )


def changes_of(connection: Connection, wanted: Rows, name: str) -> list[Difference]:
    """The figures in which a book's stored rows, whatever they hold, differ from the wanted ones."""
    with any_text(connection):
        return differences(read_rows(connection, name), wanted)


def folded(connection: Connection, name: str, state: BookState, on_progress: OnProgress | None) -> BookState:
    """A state and the events of the log after it. `on_progress`: called with the version folded last, now and then."""
    if state.version == 0:
        return fold_range(
            connection, name, EMPTY, Selection(store.reversed_marks(connection, name)), on_progress=on_progress
        )
    # Of a fold that goes on from an earlier state, the log is asked which mark is the newest that is left.
    events = store.read_events(connection, name, after=state.version)
    return fold(_counted(events, on_progress) if on_progress else events, state, MarksOfLog(connection, name))


def fold_range(
    connection: Connection,
    name: str,
    state: BookState,
    standing: Selection,
    *,
    after: int = 0,
    until: int | None = None,
    on_progress: OnProgress | None = None,
) -> BookState:
    """A state and the events with `after` < version ≤ `until` (None: up to the head).

    `standing`: names the marks that do not count. `on_progress`: called with the version folded last, now and then.
    Raises StorageError `event_unreadable`.
    """
    if connection.dialect.name == "sqlite":
        state, after = _folded_at_once(connection, name, state, standing, after, until, on_progress)
    events = store.read_events(connection, name, after=after, until=until)
    return fold(_counted(events, on_progress) if on_progress else events, state, standing)


def _folded_at_once(
    connection: Connection,
    name: str,
    state: BookState,
    standing: Selection,
    after: int,
    until: int | None,
    on_progress: OnProgress | None,
) -> tuple[BookState, int]:
    """The state after the range, or after as much of it as can be read raw, and the version it has come to.

    Runs of rows that only the log's own reader can judge it reads, so that it raises what it raises of them.
    """
    for first, last, tally in raw_runs(connection, name, standing.reversed_versions, after=after, until=until):
        if tally is None:
            state = fold(store.read_events(connection, name, after=first - 1, until=last), state, standing)
        else:
            state = after_tally(state, tally)
        after = last
        if on_progress is not None:
            for version in range(first + -first % store.ROWS_AT_ONCE, last + 1, store.ROWS_AT_ONCE):
                on_progress(version)
    return state, after


def _counted(events: Iterable[StoredEvent], on_progress: OnProgress) -> Iterator[StoredEvent]:
    for event in events:
        yield event
        if event.version % store.ROWS_AT_ONCE == 0:
            on_progress(event.version)
