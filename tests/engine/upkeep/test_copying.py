"""A book's copy has the same versions, times, bodies and hashes; a cut one goes on; another history is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep import copying
from engine.upkeep.copying import copy_book
from ledger.errors import Refused, StorageError
from ledger.events import Opened
from tests.engines import Engine, contents, forget, new_ledger, raw_access
from tests.ledger.database.store_support import append_sample
from tests.support import BOOK, event, log_of, open_keeper


@pytest.fixture
def target(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database without a book, on either engine."""
    made = new_ledger(engine, tmp_path, "copy.db")
    yield made
    forget(made)


def test_a_copy_is_the_same_byte_for_byte_and_a_second_adds_nothing(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "EVENTS_AT_ONCE", 5)  # several batches
    with open_keeper(tmp_path) as source, Bookkeeper.open(target) as copy:
        append_sample(source)
        done = copy_book(source.database, copy.database, BOOK)
        assert (done.copied, done.existed) == (len(log_of(source)), 0)
        assert log_of(copy) == log_of(source)
        assert copy.view(BOOK) == source.view(BOOK)
        assert check(copy.database, BOOK).ok
        assert copy_book(source.database, copy.database, BOOK).copied == 0


def test_a_copy_that_was_cut_short_goes_on(tmp_path: Path, target: str) -> None:
    with open_keeper(tmp_path) as source, Bookkeeper.open(target) as copy:
        append_sample(source)
        copy_book(source.database, copy.database, BOOK)
        source.append(BOOK, event("mark", asset="XRP", price="1.35", key="later"))
        assert copy_book(source.database, copy.database, BOOK).copied == 1
        assert log_of(copy) == log_of(source)
        assert check(copy.database, BOOK).ok


def test_another_history_is_refused_and_left_as_it_is(tmp_path: Path, target: str) -> None:
    with open_keeper(tmp_path) as source, Bookkeeper.open(target) as copy:
        copy.open_book(BOOK, Opened(mode="live"))
        before = log_of(copy)
        with pytest.raises(Refused) as raised:
            copy_book(source.database, copy.database, BOOK)
        assert raised.value.code == "copy_differs"
        assert log_of(copy) == before


def test_a_copy_that_went_on_by_itself_is_refused(tmp_path: Path, target: str) -> None:
    with open_keeper(tmp_path) as source, Bookkeeper.open(target) as copy:
        copy_book(source.database, copy.database, BOOK)
        copy.append(BOOK, event("mark", asset="XRP", price="1.35", key="of the copy"))
        with pytest.raises(Refused) as raised:
            copy_book(source.database, copy.database, BOOK)
        assert raised.value.code == "copy_differs"


@contextmanager
def swallowing(target: str, engine: Engine, table: str) -> Iterator[None]:
    """Somebody has made a trigger in the target that keeps rows from being written to a table."""
    operation = "INSERT" if table == "events" else "UPDATE"
    with raw_access(target) as raw:
        if engine == "postgres":
            raw.execute("CREATE FUNCTION z() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
            raw.execute(f"CREATE TRIGGER z BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION z()")
        else:
            raw.execute(f"CREATE TRIGGER z BEFORE {operation} ON {table} BEGIN SELECT RAISE(IGNORE); END")
    yield
    with raw_access(target) as raw:
        raw.execute(f"DROP TRIGGER z{f' ON {table}' if engine == 'postgres' else ''}")
        if engine == "postgres":
            raw.execute("DROP FUNCTION z()")


def test_a_target_that_swallows_what_is_copied_has_nothing_of_the_batch(
    tmp_path: Path, target: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were written are counted: of the log, of the book's head, of the projections."""
    with open_keeper(tmp_path) as source, Bookkeeper.open(target) as copy:
        append_sample(source)
        copy_book(source.database, copy.database, BOOK)
        source.append_all(BOOK, (event("deposit", asset="RLUSD", amount="1", key=f"later:{n}") for n in range(10)))
        before = contents(target)
        for events_at_once, table in product((2000, 1), ("events", "books", "inventory")):
            monkeypatch.setattr(copying, "EVENTS_AT_ONCE", events_at_once)
            with swallowing(target, engine, table), pytest.raises(StorageError) as raised:
                copy_book(source.database, copy.database, BOOK)
            assert raised.value.code == "schema_altered", (events_at_once, table)
            assert contents(target) == before, (events_at_once, table)
        assert copy_book(source.database, copy.database, BOOK).copied == 10
        assert log_of(copy) == log_of(source)
        assert check(copy.database, BOOK).ok
