"""What SQLite's rarer errors mean to the one who called."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger import store
from ledger.errors import StorageError, StorageFault
from ledger.events import Mark, Opened


def test_a_full_disk_is_told_from_other_faults_and_leaves_nothing(tmp_path: Path) -> None:
    """SQLite answers SQLITE_FULL when it may not have one page more, on a full disk as under `max_page_count`."""
    location = str(tmp_path / "ledger.db")
    with Bookkeeper.open(location, "create") as keeper:
        keeper.open_book("main", Opened(mode="live"))
    with Bookkeeper.open(location) as keeper:

        @event.listens_for(keeper.database._engine, "checkout")
        def _limit(connection: Any, _record: Any, _proxy: Any) -> None:
            connection.execute("PRAGMA max_page_count = 1")  # no less than what there is

        marks = [Mark(asset="XRP", price="1.33", key=f"m:{i}") for i in range(500)]  # type: ignore[arg-type]
        with pytest.raises(StorageError) as raised:
            keeper.append_all("main", marks)
        assert raised.value.fault is StorageFault.DATABASE_FULL
        assert keeper.view("main").head.version == 1


def test_a_writer_that_waits_says_so_once_and_then_writes(tmp_path: Path) -> None:
    location = str(tmp_path / "ledger.db")
    with Bookkeeper.open(location, "create") as keeper:
        keeper.open_book("main", Opened(mode="live"))
    holder = sqlite3.connect(location, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    said: list[str] = []

    def on_wait() -> None:
        said.append("waits")
        holder.execute("COMMIT")

    with closing(holder), Bookkeeper.open(location, on_wait=on_wait) as keeper:
        mark = Mark(asset="XRP", price="1.33", key="m:1")  # type: ignore[arg-type]
        assert keeper.append("main", mark).stored.version == 2
    assert said == ["waits"]


def test_keys_are_looked_up_in_their_index_however_many_they_are(tmp_path: Path) -> None:
    """Without statistics SQLite would read the whole book for five keys or more."""
    location = str(tmp_path / "ledger.db")
    with Bookkeeper.open(location, "create") as keeper, keeper.database.reading() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        asked: list[str] = []
        driver.set_trace_callback(asked.append)
        for count in (1, 5, 500):
            store.find_keys(connection, "main", [f"k:{i}" for i in range(count)])
        driver.set_trace_callback(None)
        plans = [str(driver.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()) for statement in asked]
    assert len(plans) == 3
    assert all("uq_events_key" in plan or "sqlite_autoindex_events" in plan for plan in plans), plans
    assert not any("USING PRIMARY KEY (book=?)" in plan for plan in plans), plans


def test_a_ledger_that_was_analyzed_is_sound(tmp_path: Path) -> None:
    """SQLite's own tables of statistics cannot be made by a statement, and are no damage."""
    location = str(tmp_path / "ledger.db")
    with Bookkeeper.open(location, "create") as keeper:
        keeper.open_book("main", Opened(mode="live"))
    with closing(sqlite3.connect(location)) as connection:
        connection.execute("ANALYZE")
    with Bookkeeper.open(location, sound_file=True) as keeper:
        assert check(keeper.database, "main").ok
