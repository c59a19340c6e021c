"""A bookkeeper that knows that nobody has written to a file since its last commit appends without reading the book again.

Whoever writes in between is noticed: another process, another bookkeeper, a rebuild, an intruder, on any connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.bookkeeper import Bookkeeper
from engine.upkeep.rebuild import rebuild
from ledger.events import Event, Opened
from tests.ledger.database.store_support import findings_of
from tests.support import BOOK, event, open_keeper

OTHER = "other"
Between = Callable[[Bookkeeper, str], object]


def deposit(key: str) -> Event:
    return event("deposit", asset="RLUSD", amount="50", key=key)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Bookkeeper]:
    """A bookkeeper on a file with two books, which has appended to the first and knows where that stands."""
    with open_keeper(tmp_path) as keeper:
        keeper.open_book(OTHER, Opened(mode="live"))
        keeper.append(BOOK, deposit("a"))
        yield keeper


@contextmanager
def reads(keeper: Bookkeeper) -> Iterator[list[str]]:
    """The tables that are read meanwhile, by whichever way, on the connection that the keeper uses again and again."""
    found: list[str] = []

    def note(statement: str) -> None:
        if statement.startswith("SELECT"):
            found.append(statement.partition("FROM ")[2].split()[0])

    with keeper.database.reading() as connection:
        driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(note)
    try:
        yield found
    finally:
        driver.set_trace_callback(None)


def test_where_nobody_has_written_only_the_key_is_looked_up(keeper: Bookkeeper) -> None:
    with reads(keeper) as found:
        keeper.append(BOOK, deposit("b"))
        keeper.append_all(BOOK, [deposit("c"), deposit("d")])
        assert keeper.append(BOOK, deposit("b")).existed
        keeper.append(BOOK, deposit("e"))
    assert found == ["events"] * 5  # of the one that exists its row, too
    assert keeper.view(BOOK).head.version == 6


def another_keeper(_: Bookkeeper, location: str) -> None:
    with Bookkeeper.open(location) as other:
        other.append(BOOK, deposit("theirs"))


def other_keeper_of_the_same_connection(keeper: Bookkeeper, _: str) -> None:
    Bookkeeper(keeper.database).append(BOOK, deposit("theirs"))


def other_book(keeper: Bookkeeper, _: str) -> None:
    keeper.append(OTHER, deposit("theirs"))


def rebuilt_after_damage(keeper: Bookkeeper, location: str) -> None:
    """The damage is done by another connection, and repaired by this one."""
    intruder(keeper, location)
    assert rebuild(keeper.database, BOOK).changes


def damage_of_this_connection(keeper: Bookkeeper, _: str) -> None:
    with keeper.database.writing() as connection:
        connection.execute(text("UPDATE inventory SET total = '7', capital = '7' WHERE asset = 'RLUSD'"))
    assert rebuild(keeper.database, BOOK).changes


def intruder(_: Bookkeeper, location: str) -> None:
    with closing(sqlite3.connect(location, isolation_level=None)) as raw:
        raw.execute("UPDATE inventory SET total = '7', capital = '7' WHERE asset = 'RLUSD'")


class _Failed(Exception):
    pass


def taken_back(keeper: Bookkeeper, _: str) -> None:
    """It has written when it fails."""

    def fail() -> None:
        with keeper.transaction(BOOK) as transaction:
            transaction.append(deposit("taken back"))
            raise _Failed

    with pytest.raises(_Failed):
        fail()


def many_others(_: Bookkeeper, location: str) -> None:
    with Bookkeeper.open(location) as other:
        other.append_all(BOOK, [deposit(f"theirs:{index}") for index in range(60)])


@pytest.mark.parametrize(
    "between",
    [
        another_keeper,
        other_keeper_of_the_same_connection,
        other_book,
        rebuilt_after_damage,
        damage_of_this_connection,
        taken_back,
        many_others,
    ],
)
def test_whatever_was_written_in_between_is_noticed(keeper: Bookkeeper, between: Between) -> None:
    location = keeper.database.location
    between(keeper, location)
    with reads(keeper) as found:
        appended = keeper.append(BOOK, deposit("b"))
    assert "books" in found
    assert keeper.append(BOOK, deposit("c")).version == appended.version + 1
    keeper.close()
    assert findings_of(location) == []
    with closing(sqlite3.connect(location)) as raw:
        ((count,),) = raw.execute("SELECT count(*) FROM events WHERE book = ?", [BOOK])
    assert appended.version == count - 1


def test_two_keepers_in_turn_follow_each_other(keeper: Bookkeeper) -> None:
    location = keeper.database.location
    with Bookkeeper.open(location) as other:
        for index in range(6):
            (keeper, other)[index % 2].append(BOOK, deposit(f"k:{index}"))
    assert findings_of(location) == []
