"""A rebuild folds many rows at once: the state is that of the pure folds, and what these refuse it refuses likewise."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from engine.refolding import folded
from ledger import store
from ledger.errors import StorageError
from ledger.integrity.raw_fold import raw_runs
from projections.marks import Selection
from projections.state import EMPTY, BookState, fold
from tests.engine.proof.test_fast_lane import (
    COLUMNS,
    COMMON,
    VALUES,
    as_intruder,
    common_events,
    dice_of,
    versions_of,
)
from tests.ledger.database.store_support import append_sample
from tests.support import BOOK, a_share_of, open_keeper

Told = tuple[BookState, list[str], list[int]] | str


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a closed ledger with the sample log and more of the common types; whatever a test does is taken back."""
    folder = tmp_path_factory.mktemp("fold")
    with open_keeper(folder) as keeper:
        append_sample(keeper)
        keeper.append_all(BOOK, list(common_events(dice_of(11), 12)))
    return str(folder / "ledger.db")


def at_once(connection: Connection) -> Told:
    """What a rebuild's fold gives: state, order of the assets and progress, or the error."""
    progress: list[int] = []
    try:
        state = folded(connection, BOOK, EMPTY, progress.append)
    except (StorageError, DBAPIError) as error:
        return str(error)
    return state, list(state.inventory), progress


def one_by_one(connection: Connection) -> Told:
    """The same by the pure folds alone."""
    try:
        standing = Selection(store.reversed_marks(connection, BOOK))
        state = fold(store.read_events(connection, BOOK), EMPTY, standing)
    except (StorageError, DBAPIError) as error:
        return str(error)
    return state, list(state.inventory), [*range(1000, state.version + 1, 1000)]


def require_same(connection: Connection, what: object) -> None:
    assert at_once(connection) == one_by_one(connection), what


@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_column_gives_the_state_or_the_error_of_the_pure_folds(ledger: str, column: str) -> None:
    values = {
        **VALUES,
        "one": "1",
        "long": "9" * 500,
        "exponent": "1e3",
        "comma": "1,2",
        "day": "2026-02-30T00:00:00.000000Z",
    }
    with as_intruder(ledger) as connection:
        for number, (kind, versions) in enumerate(versions_of(connection).items(), COLUMNS.index(column)):
            for name, value in a_share_of(values.items(), number, parts=24):
                nested = connection.begin_nested()
                query = text(f'UPDATE events SET "{column}" = :value WHERE version = :version')
                try:
                    connection.execute(query, {"value": value, "version": versions[-1]})
                except DBAPIError:  # a key that is there already
                    continue
                finally:
                    if nested.is_active:
                        require_same(connection, (kind, name))
                        nested.rollback()


@pytest.mark.parametrize(("seed", "count"), [(0, 60), (1, 1050)])
def test_a_sound_log_gives_the_state_of_the_pure_folds(tmp_path: Path, seed: int, count: int) -> None:
    """And only rows of the types that look back, with their like, are left to them."""
    with open_keeper(tmp_path) as keeper:
        if seed:
            append_sample(keeper)
        keeper.append_all(BOOK, list(common_events(dice_of(seed), count)))
    with as_intruder(str(tmp_path / "ledger.db")) as connection:
        require_same(connection, seed)
        marks = store.reversed_marks(connection, BOOK)
        taken = sum(last - first + 1 for first, last, tally in raw_runs(connection, BOOK, marks) if tally is not None)
        assert taken == sum(len(versions) for kind, versions in versions_of(connection).items() if kind in COMMON)


def test_a_text_that_is_not_utf_8_is_refused_as_the_pure_folds_refuse_it(ledger: str) -> None:
    with as_intruder(ledger) as connection:
        for column in ("key", "session_id", "asset_delta"):
            nested = connection.begin_nested()
            connection.execute(text(f"UPDATE events SET {column} = CAST(x'ff41' AS TEXT) WHERE version = 20"))
            assert isinstance(at_once(connection), str)
            require_same(connection, column)
            nested.rollback()


def test_a_row_before_the_first_version_is_passed_over(ledger: str) -> None:
    with as_intruder(ledger) as connection:
        connection.execute(text("UPDATE events SET version = -1 WHERE version = 20"))
        require_same(connection, "-1")
