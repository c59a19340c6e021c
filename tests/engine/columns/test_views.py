"""Views, registers and rebuilds from segments give what the rows give, whatever was sealed and however it is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.bookkeeper import Bookkeeper
from engine.columns.choosing import Engine, believed, events_of, fold_of
from engine.columns.sealing import Sealing, seal
from engine.upkeep.rebuild import rebuild
from engine.views import Moment, RegisterFilter, register, view_at
from ledger import store as log
from ledger.database.postgres import is_url
from ledger.errors import Refusal, Refused, StorageError, StorageFault
from ledger.stored import StoredEvent
from projections.rows import rows_of
from tests.engine.columns.logs import append_more, logs
from tests.engines import intruding
from tests.support import BOOK, START, log_of, open_keeper

pytest.importorskip("duckdb", reason="the extra netbasis[columns] is not installed")
pytest.importorskip("pyarrow", reason="the extra netbasis[columns] is not installed")

NOW = START + timedelta(days=4000)


def sealed(keeper: Bookkeeper, folder: Path, events: int) -> None:
    seal(keeper.database, BOOK, Sealing(str(folder / "segments"), lambda: START, events))


def moments(log_: list[StoredEvent]) -> Iterator[Moment]:
    for hours in (0, 9, 17):
        time = START + timedelta(hours=hours)
        yield Moment(as_of=time)
        yield Moment(before=time)
        yield Moment(known_at=log_[min(hours, len(log_) - 1)].recorded_at)
        yield Moment(as_of=time, known_at=log_[-3].recorded_at)
    for version in (1, 8, 24, len(log_)):
        yield Moment(as_of=version)


def require_same_views(keeper: Bookkeeper, engine: Engine = "columns", every: int = 1, first: int = 0) -> None:
    for moment in list(moments(log_of(keeper)))[first::every]:
        by_rows = view_at(keeper.database, BOOK, moment, now=NOW)
        by_columns = view_at(keeper.database, BOOK, moment, now=NOW, fold_of=fold_of(keeper.database, engine))
        assert by_columns == by_rows, moment


@pytest.mark.both_engines
def test_views_of_the_past(keeper: Bookkeeper, tmp_path: Path, location: str) -> None:
    append_more(keeper)
    sealed(keeper, tmp_path, 9)
    require_same_views(keeper, every=5 if is_url(location) else 1)


@given(log_=logs(most=25), events=st.integers(2, 9), hours=st.integers(0, 20))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_views_of_random_logs(
    tmp_path_factory: pytest.TempPathFactory, log_: list[StoredEvent], events: int, hours: int
) -> None:
    folder = tmp_path_factory.mktemp("random")
    with open_keeper(folder, book=None) as keeper:
        copy_in(keeper, log_)
        sealed(keeper, folder, events)
        time = START + timedelta(hours=hours)
        chosen = (
            Moment(as_of=time),
            Moment(as_of=len(log_)),
            Moment(before=time),
            Moment(known_at=log_[-1].recorded_at),
        )
        for moment in chosen:
            fold = fold_of(keeper.database, "auto")
            by_columns = view_at(keeper.database, BOOK, moment, now=NOW, fold_of=fold)
            assert by_columns == view_at(keeper.database, BOOK, moment, now=NOW)
        assert rebuild(keeper.database, BOOK, engine="auto").changes == []


def copy_in(keeper: Bookkeeper, log_: list[StoredEvent]) -> None:
    """Adopt a log as a copy does."""
    from engine.projection_store import save_rows
    from engine.refolding import folded
    from ledger.adoption import adopt, begin_copy
    from ledger.book import Book, Head
    from projections.state import EMPTY
    from tests.projections.in_memory import TERMS

    assert isinstance(TERMS, Book)
    with keeper.database.writing() as connection:
        end = Head(log_[-1].version, log_[-1].hash, log_[-1].recorded_at)
        before = begin_copy(connection, TERMS, end)
        adopt(connection, BOOK, before, log_)
        save_rows(connection, BOOK, {}, rows_of(folded(connection, BOOK, EMPTY, None), TERMS))


def test_a_register_passes_over_what_it_does_not_show(keeper: Bookkeeper, tmp_path: Path) -> None:
    append_more(keeper)
    sealed(keeper, tmp_path, 4)
    for start, end in ((None, None), (5, None), (20, 25), (None, 3), (25, None), (100, None)):
        bounds = [None if hours is None else START + timedelta(hours=hours) for hours in (start, end)]
        for moment in (Moment(), Moment(as_of=START + timedelta(hours=20)), Moment(as_of=30)):
            chosen = RegisterFilter(start=bounds[0], end=bounds[1])
            told = []
            engines: tuple[Engine, ...] = ("rows", "columns")
            for engine in engines:
                with register(
                    keeper.database, BOOK, moment, chosen, events_of=events_of(keeper.database, engine)
                ) as found:
                    told.append(list(found[2]))
            assert told[0] == told[1], (start, end, moment)


@pytest.mark.both_engines
def test_a_rebuild_puts_right_what_differs(keeper: Bookkeeper, tmp_path: Path, location: str) -> None:
    append_more(keeper)
    sealed(keeper, tmp_path, 10)
    progress: list[int] = []
    assert rebuild(keeper.database, BOOK, engine="columns", on_progress=progress.append).changes == []
    assert progress[0] == 50 - len(log_of(keeper)) % 10 or progress
    with intruding(location) as raw:
        raw.execute("UPDATE inventory SET fills = '7' WHERE asset = 'XRP'")
    changed = rebuild(keeper.database, BOOK, engine="columns").changes
    assert [change.key for change in changed] == ["XRP.fills"]
    assert rebuild(keeper.database, BOOK).changes == []


Damage = Callable[[Bookkeeper, Path], None]


def _file(folder: Path) -> Path:
    return next((folder / "segments" / "book=main").glob("11-*.parquet"))


def _cut(keeper: Bookkeeper, folder: Path) -> None:
    _file(folder).write_bytes(_file(folder).read_bytes()[:-100])


def _flip(keeper: Bookkeeper, folder: Path) -> None:
    content = bytearray(_file(folder).read_bytes())
    content[200] ^= 1
    _file(folder).write_bytes(content)


def _lose(keeper: Bookkeeper, folder: Path) -> None:
    _file(folder).unlink()


def _swap(keeper: Bookkeeper, folder: Path) -> None:
    first = next((folder / "segments" / "book=main").glob("1-*.parquet"))
    _file(folder).write_bytes(first.read_bytes())


def _edit(column: str, value: str) -> Damage:
    def edit(keeper: Bookkeeper, folder: Path) -> None:
        with keeper.database.writing() as connection:
            connection.execute(text(f"UPDATE segments SET {column} = {value} WHERE first_version = 11"))

    return edit


DAMAGES: dict[str, tuple[Damage, bool]] = {
    "cut": (_cut, True),
    "flipped": (_flip, True),
    "lost": (_lose, False),
    "swapped": (_swap, True),
    "another hash": (_edit("end_hash", "start_hash"), True),
    "another range": (_edit("last_version", "last_version + 3"), True),
    "no state": (_edit("state", "'{}'"), True),
    "no sums": (_edit("sums", "'nothing'"), True),
    "another place": (_edit("location", "'nonsense://there'"), False),
    "an empty place": (_edit("location", "'/nowhere/at/all'"), False),
}


def test_a_segment_that_is_not_what_was_sealed_is_passed_over(
    keeper: Bookkeeper, tmp_path: Path, location: str
) -> None:
    append_more(keeper)
    sealed(keeper, tmp_path, 10)
    file = _file(tmp_path)
    content = file.read_bytes()
    columns = "end_hash, last_version, state, sums, location"
    with intruding(location) as raw:
        (row,) = raw.execute(f"SELECT {columns} FROM segments WHERE first_version = 11")
    for number, (damage, (do, is_finding)) in enumerate(DAMAGES.items()):
        do(keeper, tmp_path)
        require_same_views(keeper, every=len(DAMAGES), first=number)
        assert rebuild(keeper.database, BOOK, engine="columns").changes == [], damage
        with keeper.database.reading() as connection:
            book, head = log.require_book(connection, BOOK)
            found = believed(keeper.database, connection, book, head, "columns")
            assert found is not None
            for segment in found.trusted(found.entered):
                found.state(segment)
                found.sums(segment)
            doubts = [(doubt.segment.first_version, doubt.is_finding) for doubt in found.doubts]
        assert doubts[:1] == [(11, is_finding)], damage
        file.write_bytes(content)
        with intruding(location) as raw:
            raw.execute(f"UPDATE segments SET ({columns}) = (?, ?, ?, ?, ?) WHERE first_version = 11", row)


def test_rows_are_read_where_there_are_no_segments(keeper: Bookkeeper) -> None:
    append_more(keeper)
    require_same_views(keeper, "auto", every=5)
    with pytest.raises(Refused) as caught:
        rebuild(keeper.database, BOOK, engine="columns")
    assert caught.value.refusal is Refusal.SEGMENTS_MISSING


def test_without_the_libraries_rows_are_read(
    keeper: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_more(keeper)
    sealed(keeper, tmp_path, 10)
    import engine.columns.duck as duck

    monkeypatch.setattr(duck, "find_spec", lambda name: None)
    require_same_views(keeper, "auto", every=5)
    with pytest.raises(StorageError) as caught:
        rebuild(keeper.database, BOOK, engine="columns")
    assert caught.value.fault is StorageFault.EXTRA_MISSING
