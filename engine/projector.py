"""The projections of a book during a transaction: loaded once, folded event by event, written once.

They begin with the snapshot of this bookkeeper's last commit plus the events that others have appended since. Without a
snapshot, they begin with the stored rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from engine import projection_store
from engine.pairing import Side, side_of, transfer_of
from engine.policy.evidence import verify_evidence
from engine.projection_store import stored_state
from engine.standing_marks import MarksOfLog
from ledger import store
from ledger.book import Book, Head
from ledger.errors import StorageError, StorageFault, shown
from ledger.events import TRANSFER, Event, TransferSide, Withdrawal
from ledger.stored import StoredEvent, chain_hash
from projections.rows import Rows, rows_of
from projections.state import BookState, apply

# Folding this many events takes about as long as loading the stored rows.
EVENTS_TO_CATCH_UP = 50


@dataclass(frozen=True, slots=True)
class CommitSnapshot:
    """A book after this bookkeeper's last commit to it. Valid until a rebuild changes the stored rows.

    book:      its terms
    head:      the end of the log
    rebuilds:  how many rebuilds had changed the stored rows
    state:     what the log added up to
    rows:      the stored rows
    mark:      of a SQLite file, see `change_mark`; None on a server
    """

    book: Book
    head: Head
    rebuilds: int
    state: BookState
    rows: Rows
    mark: tuple[object, ...] | None


class Projector:
    """The projections of a book during one transaction.

    state:      what the log adds up to, including the events observed
    transfers:  the sides of transfers among the events observed, and their reversals
    """

    def __init__(self, connection: Connection, book: Book, state: BookState, rows: Rows, rebuilds: int = 0) -> None:
        self.state = state
        self.transfers: list[Side] = []
        self._connection = connection
        self._standing = MarksOfLog(connection, book.name)
        self._rows = rows
        self._book = book
        self._rebuilds = rebuilds

    def observe(self, stored: StoredEvent, event: Event) -> None:
        """Fold one new event. Raises Refused `evidence_mismatch` when a withdrawal's evidence is not that of the state."""
        if isinstance(event, Withdrawal):
            verify_evidence(event, self.state, self._book)
        if stored.reason == TRANSFER and stored.effects.effect_of in ("deposit", "withdrawal"):
            self.transfers.append(side_of(stored, event, self._side_at))
        self.state = apply(self.state, stored, self._standing)

    def _side_at(self, version: int) -> TransferSide | None:
        """The mark of a transfer on an earlier event, of this transaction or of the log."""
        for side in self.transfers:
            if side.stored.version == version:
                return side.of
        found = store.find_event(self._connection, self._book.name, version)
        return transfer_of(found.event) if found is not None else None

    def save(self, connection: Connection) -> None:
        """Write the rows that changed."""
        wanted = rows_of(self.state, self._book)
        projection_store.save_rows(connection, self._book.name, self._rows, wanted)
        self._rows = wanted

    def snapshot(self, head: Head, mark: tuple[object, ...] | None) -> CommitSnapshot:
        """The snapshot to keep once the transaction has committed with this head."""
        return CommitSnapshot(self._book, head, self._rebuilds, self.state, self._rows, mark)


def projector_at(connection: Connection, book: Book, head: Head, kept: CommitSnapshot | None) -> Projector:
    """The projections of a locked book at its head. `kept`: the last snapshot; None for none.

    Raises StorageError `projections_behind`, `database_damaged`.
    """
    rebuilds = projection_store.rebuild_count(connection, book.name)
    if kept is not None and kept.rebuilds == rebuilds:
        if kept.head == head:
            return projector_of(connection, kept)
        state = _caught_up(connection, book, kept, head)
        if state is not None:
            return Projector(connection, book, state, rows_of(state, book), rebuilds)
    rows = projection_store.load_rows(connection, book.name)
    state = stored_state(rows, book, head)
    _require_last_event(connection, book, head)
    return Projector(connection, book, state, rows, rebuilds)


def projector_of(connection: Connection, kept: CommitSnapshot) -> Projector:
    """The projections of a locked book to which nobody has written since the snapshot."""
    return Projector(connection, kept.book, kept.state, kept.rows, kept.rebuilds)


def _require_last_event(connection: Connection, book: Book, head: Head) -> None:
    """Raises StorageError unless the head is that of the last event: what is appended to a wrong head cannot be undone."""
    last = store.find_event(connection, book.name, head.version)
    if last is None or last.hash != head.hash:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED,
            f"the head of the book {shown(book.name)} is not its last event",
            expected=last.hash.hex() if last else None,
            actual=head.hash.hex(),
            advice="run `netbasis check`, and restore a backup",
        )


def _caught_up(connection: Connection, book: Book, kept: CommitSnapshot, head: Head) -> BookState | None:
    """The snapshot's state plus the events since; None when there are too many, or when they do not lead to the head."""
    if not 0 < head.version - kept.head.version <= EVENTS_TO_CATCH_UP:
        return None
    state, digest = kept.state, kept.head.hash
    standing = MarksOfLog(connection, book.name)
    for stored in store.events_after(connection, book.name, kept.head.version):
        digest = chain_hash(digest, stored.body)
        state = apply(state, stored, standing)
    return state if digest == head.hash else None
