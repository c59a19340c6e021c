"""Where the projections of an append begin: with what the bookkeeper keeps, where that is still good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.bookkeeper import Bookkeeper
from engine.projector import EVENTS_TO_CATCH_UP, CommitSnapshot, projector_at
from engine.upkeep.rebuild import rebuild
from ledger import store
from ledger.book import Head
from ledger.errors import StorageError
from projections.engine_state import EngineState
from projections.rows import rows_of
from projections.state import BookState
from tests.engines import raw_access
from tests.support import BOOK, event, log_of

FIRST = 5


@pytest.fixture
def kept(keeper: Bookkeeper) -> CommitSnapshot:
    """What a bookkeeper keeps after a few deposits, with a starting value that nothing else has, to be recognised by."""
    append_deposits(keeper, FIRST)
    view = keeper.view(BOOK)
    recognisable = replace(view.state, engine_state=EngineState(view.state.engine_state.starting_value + 1_000_000))
    return CommitSnapshot(view.book, view.head, 0, recognisable, rows_of(recognisable, view.book), None)


def append_deposits(keeper: Bookkeeper, count: int) -> None:
    keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="1") for _ in range(count)])


def state_from(keeper: Bookkeeper, kept: CommitSnapshot | None) -> BookState:
    with keeper.database.writing() as connection:
        book, head = store.require_book(connection, BOOK, lock=True)
        return projector_at(connection, book, head, kept).state


def is_from_kept(keeper: Bookkeeper, kept: CommitSnapshot) -> bool:
    """Whether the state is the kept one with the events since; else it must be the stored one."""
    state, stored = state_from(keeper, kept), keeper.view(BOOK).state
    added = state.engine_state.starting_value - stored.engine_state.starting_value
    assert added in (0, 1_000_000)
    assert replace(state, engine_state=stored.engine_state) == stored
    return bool(added)


@pytest.mark.parametrize("others", [0, 1, 7, EVENTS_TO_CATCH_UP])
def test_it_is_what_is_kept_with_what_others_appended_since(
    keeper: Bookkeeper, kept: CommitSnapshot, others: int
) -> None:
    append_deposits(keeper, others)
    assert is_from_kept(keeper, kept)


def test_after_many_events_the_stored_rows_are_read(keeper: Bookkeeper, kept: CommitSnapshot) -> None:
    append_deposits(keeper, EVENTS_TO_CATCH_UP + 1)
    assert not is_from_kept(keeper, kept)


@pytest.mark.parametrize("others", [0, 3])
def test_what_is_kept_of_another_history_is_not_used(keeper: Bookkeeper, kept: CommitSnapshot, others: int) -> None:
    append_deposits(keeper, others)
    of_another = replace(kept, head=replace(kept.head, hash=bytes(32)))
    assert not is_from_kept(keeper, of_another)


def test_what_is_kept_of_a_longer_history_is_not_used(keeper: Bookkeeper, kept: CommitSnapshot) -> None:
    """As when a backup was restored."""
    newest = log_of(keeper)[-1]
    longer = replace(kept, head=Head(newest.version + 3, newest.hash, newest.recorded_at))
    assert not is_from_kept(keeper, longer)


@pytest.mark.parametrize("others", [0, 3])
def test_what_is_kept_from_before_a_rebuild_is_not_used(keeper: Bookkeeper, kept: CommitSnapshot, others: int) -> None:
    append_deposits(keeper, others)
    assert not is_from_kept(keeper, replace(kept, rebuilds=1))


def test_without_anything_kept_the_stored_rows_are_read(keeper: Bookkeeper, kept: CommitSnapshot) -> None:
    assert kept.head.version == FIRST + 1
    assert state_from(keeper, None) == keeper.view(BOOK).state


@pytest.mark.parametrize("fresh", [True, False])
def test_a_head_that_is_not_the_last_event_is_not_appended_to(keeper: Bookkeeper, location: str, fresh: bool) -> None:
    """Else a hash that follows from nothing would stand in the log for good."""
    append_deposits(keeper, 2)
    with raw_access(location) as raw:
        raw.execute("UPDATE books SET head_hash = ?", [bytes(32)])
    before = log_of(keeper)
    with Bookkeeper.open(location) as other, pytest.raises(StorageError, match="is not its last event") as raised:
        append_deposits(other if fresh else keeper, 1)
    assert raised.value.code == "database_damaged"
    assert log_of(keeper) == before


def test_a_head_that_is_too_low_is_said_to_be_that_and_no_rebuild_says_that_all_is_well(
    keeper: Bookkeeper, location: str
) -> None:
    append_deposits(keeper, 4)
    with raw_access(location) as raw:
        raw.execute("UPDATE books SET head_version = 3")
    with pytest.raises(StorageError, match="behind its projections"):
        keeper.view(BOOK)
    for dry_run in (True, False):
        with pytest.raises(StorageError, match="does not end where the book's head says"):
            rebuild(keeper.database, BOOK, dry_run=dry_run)
