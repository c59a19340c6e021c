"""PostgreSQL under the log: the contract of every engine, and the same bytes as on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine import schema
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger.database.connections import Database
from ledger.database.triggers import REFUSAL
from ledger.errors import Refused, StorageError
from ledger.events import Opened
from tests.engines import forget
from tests.ledger.database.store_contract import StoreContract
from tests.ledger.database.store_support import append_sample
from tests.postgres_support import clone_of, connect, drop_database, empty_database, fresh_database, url_of
from tests.support import BOOK, SequentialIds, TickingClock, event, ledger_file, log_of


class TestPostgres(StoreContract):
    """The contract on PostgreSQL."""

    @pytest.fixture
    def location(self) -> Iterator[str]:
        """A fresh, migrated database without a book."""
        made = url_of(fresh_database())
        yield made
        forget(made)


def _sampled(location: str) -> Bookkeeper:
    keeper = Bookkeeper.open(location, "write", clock=TickingClock(), new_id=SequentialIds(1000))
    keeper.open_book(BOOK, Opened(mode="live"))
    append_sample(keeper)
    return keeper


def test_a_book_has_the_same_bodies_and_hashes_on_both_engines(tmp_path: Path) -> None:
    with _sampled(str(ledger_file(tmp_path))) as sqlite, _sampled(url_of(fresh_database())) as postgres:
        assert log_of(sqlite) == log_of(postgres)
        assert sqlite.view(BOOK) == postgres.view(BOOK)


@pytest.fixture(scope="module")
def sample() -> str:
    """The name of a database with a book of every event type, to be cloned."""
    name = fresh_database()
    _sampled(url_of(name)).close()
    return name


@pytest.fixture
def sampled_database(sample: str) -> Iterator[str]:
    """The name of a database with a book of every event type."""
    name = clone_of(sample)
    yield name
    drop_database(name)


def test_the_database_itself_refuses_to_change_an_event(sampled_database: str) -> None:
    upsert = (
        "INSERT INTO events SELECT * FROM events WHERE version = 2 ON CONFLICT (book, version) DO UPDATE SET key = 'x'"
    )
    with connect(sampled_database) as connection:
        for statement in (
            "UPDATE events SET key = 'x' WHERE version = 2",
            "DELETE FROM events WHERE version = 2",
            "TRUNCATE events CASCADE",
            upsert,
        ):
            with pytest.raises(psycopg.errors.RaiseException, match=REFUSAL):
                connection.execute(statement)
    with Bookkeeper.open(url_of(sampled_database), "read") as keeper:
        assert check(keeper.database, BOOK).ok


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DROP TRIGGER events_refuse_update ON events", "missing"),
        ("ALTER TABLE events DISABLE TRIGGER events_refuse_truncate", "altered"),
        (
            "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "altered",
        ),
    ],
)
def test_check_reports_a_trigger_that_no_longer_guards(sampled_database: str, statement: str, what: str) -> None:
    with connect(sampled_database) as connection:
        connection.execute(statement)
    with Bookkeeper.open(url_of(sampled_database), "read") as keeper:
        assert any(what in finding.detail for finding in check(keeper.database, BOOK).findings)


def test_a_change_behind_the_programs_back_is_found_at_its_version(sampled_database: str) -> None:
    with connect(sampled_database) as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER events_refuse_update")
        connection.execute("UPDATE events SET asset_delta = asset_delta + 0.000000000000000001 WHERE version = 3")
        connection.execute("ALTER TABLE events ENABLE TRIGGER events_refuse_update")
    with Bookkeeper.open(url_of(sampled_database), "read") as keeper:
        findings = check(keeper.database, BOOK).findings
    assert {(finding.invariant, finding.version) for finding in findings} >= {("chain", 3)}


def test_reading_writes_nothing_and_the_server_would_refuse_it(sampled_database: str) -> None:
    with Database.open(url_of(sampled_database), "read") as database:
        with pytest.raises(StorageError) as raised, database.reading() as connection:
            connection.exec_driver_sql("UPDATE books SET mode = 'paper'")
        assert raised.value.code == "database_not_writable"


def test_a_reader_sees_one_state_and_holds_no_writer_up(sampled_database: str) -> None:
    url = url_of(sampled_database)
    with Bookkeeper.open(url, "read") as reader, Bookkeeper.open(url) as writer:
        with reader.database.reading() as connection:
            before = connection.exec_driver_sql("SELECT count(*) FROM events").scalar()
            append_more = writer.append(BOOK, event("mark", asset="XRP", price="1.33", key="after the reader began"))
            assert not append_more.existed
            assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == before
        assert reader.view(BOOK).head.version == append_more.stored.version


def test_init_migrates_an_empty_database_and_only_that() -> None:
    empty = url_of(empty_database())
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(empty, "write")
    assert raised.value.code == "not_a_ledger"
    with Bookkeeper.open(empty, "create") as keeper, keeper.database.reading() as connection:
        assert schema.current(connection) == schema.NEWEST
    foreign = empty_database()
    with connect(foreign) as connection_of_another:
        connection_of_another.execute("CREATE TABLE orders (id integer)")
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(url_of(foreign), "create")
    assert raised.value.code == "not_a_ledger"


def test_an_unknown_book_is_refused_like_on_sqlite(sampled_database: str) -> None:
    with Bookkeeper.open(url_of(sampled_database), "read") as keeper, pytest.raises(Refused) as raised:
        keeper.view("no such book")
    assert raised.value.code == "book_unknown"
