"""`netbasis copy` between the engines, killed, interrupted, restarted, beside others: the same book, or a clear error."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import make_url

from engine import retrying as repeating
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep import copying
from engine.upkeep.copying import copy_book
from ledger.adoption import begin_copy
from ledger.database.postgres import is_url
from ledger.errors import Refused, StorageError
from ledger.events import Opened
from tests.cli_support import Cli, Ran, assert_refused, clean_environment, ended
from tests.engines import ENGINES, Engine, contents, forget, intruding, new_ledger, raw_access
from tests.postgres_support import clone_of, connect, empty_database, fresh_database, url_of
from tests.restartable_postgres import RestartableServer, eventually, running_server
from tests.script_server import COMMAND_LINE, ForkedScript
from tests.support import BOOK, SequentialIds, TickingClock, event, ledger_file, log_of

pytestmark = pytest.mark.both_engines

EVENTS = 70  # four batches
AT_ONCE = 20
# As a process: in so many batches that it is still under way when a busy machine sees that it has begun.
ONE_BY_ONE = f"import engine.upkeep.copying as copying; copying.EVENTS_AT_ONCE = 1; {COMMAND_LINE}"
# The source is on the one engine, the target on the other.
OTHER: dict[Engine, Engine] = {"sqlite": "postgres", "postgres": "sqlite"}


def keep(location: str, book: str, events: int) -> None:
    """A book with so many events."""
    with Bookkeeper.open(location, clock=TickingClock(), new_id=SequentialIds()) as keeper:
        keeper.open_book(book, Opened(mode="live"))
        more = [event("deposit", asset="RLUSD", amount="1", key=f"d:{number}") for number in range(2, events + 1)]
        keeper.append_all(book, more)


@pytest.fixture(autouse=True)
def by_twenties(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of a copy is a fiftieth of what it is for users, so that a log of several is quick to make."""
    monkeypatch.setattr(copying, "EVENTS_AT_ONCE", AT_ONCE)


@cache
def _long_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = ledger_file(Path(folder))
        keep(str(path), BOOK, EVENTS)
        return path.read_bytes()


@cache
def _long_database() -> str:
    name = fresh_database()
    keep(url_of(name), BOOK, EVENTS)
    return name


def long_ledger(engine: Engine, folder: Path) -> str:
    """A ledger with a log of several batches."""
    if engine == "postgres":
        return url_of(clone_of(_long_database()))
    (folder / "long.db").write_bytes(_long_file())
    return str(folder / "long.db")


@pytest.fixture
def source(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A ledger with a log of several batches."""
    location = long_ledger(engine, tmp_path)
    yield location
    forget(location)


@pytest.fixture
def target(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A migrated ledger without a book, on the other engine."""
    location = new_ledger(OTHER[engine], tmp_path, "copy.db")
    yield location
    forget(location)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Command lines in this process."""
    return Cli(tmp_path, empty=True)


def copy(cli: Cli, source: str, target: str, *options: str) -> Ran:
    """`copy --to`, in this process."""
    return cli.here("copy", "--to", target, target=("--db", source, *options))


def start(source: str, target: str, folder: Path, *options: str) -> ForkedScript:
    """`copy --to`, as a process."""
    words = ["--db", source, *options, "copy", "--to", target]
    return ForkedScript(words, cwd=folder, env=clean_environment(folder), program=ONE_BY_ONE)


def copied(location: str) -> int:
    """How far the copy has come, seen past the program."""
    query = "SELECT head_version FROM books WHERE book = 'main'"
    if is_url(location):
        url = make_url(location).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as server:
            found = server.execute(query).fetchone()
    else:
        with closing(sqlite3.connect(location)) as file:
            found = file.execute(query).fetchone()
    return found[0] if found else 0


def begun(target: str, child: ForkedScript) -> Callable[[], bool]:
    return lambda: copied(target) > 0 or child.poll() is not None


def require_same(source: str, target: str, book: str = BOOK) -> None:
    """The same versions, times, bodies, hashes and figures, and a target that proves itself."""
    with Bookkeeper.open(source, "read") as one, Bookkeeper.open(target, "read") as other:
        assert log_of(other, book) == log_of(one, book)
        assert other.view(book) == one.view(book)
        assert check(other.database, book).findings == []


def test_a_copy_is_the_same_and_a_second_adds_nothing(cli: Cli, source: str, target: str) -> None:
    ran = copy(cli, source, target)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"main: {EVENTS} events copied, 0 existed; head {EVENTS}:")
    require_same(source, target)
    before = contents(target)
    again = cli.here("copy", "--to", target, "-O", "json", target=("--db", source))
    with Bookkeeper.open(source, "read") as keeper:
        head = keeper.view(BOOK).head.hash.hex()
    assert again.json == {
        "books": [{"book": "main", "copied": 0, "existed": EVENTS, "version": EVENTS, "head": head}],
    }
    assert contents(target) == before


def test_a_copy_that_is_killed_goes_on(cli: Cli, source: str, target: str) -> None:
    with start(source, target, cli.folder) as child:
        eventually(begun(target, child))
        child.kill()
        child.wait()
    there = copied(target)
    assert 0 < there < EVENTS
    with Bookkeeper.open(target, "read") as keeper:
        assert check(keeper.database, BOOK).findings == []  # whole batches, with their figures
    ran = copy(cli, source, target)
    assert ran.out.startswith(f"main: {EVENTS - there} events copied, {there} existed; head {EVENTS}:")
    require_same(source, target)


def test_a_copy_that_is_interrupted_says_that_what_was_copied_stays(cli: Cli, source: str, target: str) -> None:
    with start(source, target, cli.folder) as child:
        eventually(begun(target, child))
        child.send_signal(signal.SIGINT)
        ran = ended(child)
    assert_refused(ran, 130, "interrupted", "what was copied stays", "goes on from there")
    there = copied(target)
    assert 0 < there < EVENTS
    assert f"main: {EVENTS - there} events copied, {there} existed" in copy(cli, source, target).out
    require_same(source, target)


def test_two_copies_at_once_end_in_one(cli: Cli, source: str, target: str) -> None:
    with start(source, target, cli.folder) as one, start(source, target, cli.folder) as other:
        both = ended(one), ended(other)
    assert [(ran.code, ran.err) for ran in both] == [(0, ""), (0, "")]
    require_same(source, target)


def test_two_copies_that_begin_at_once_on_a_server(tmp_path: Path) -> None:
    """The second one finds no book, and when it makes it the first one has."""
    source, target = long_ledger("sqlite", tmp_path), url_of(fresh_database())
    with (
        Bookkeeper.open(source, "read") as one,
        Bookkeeper.open(target) as first,
        Bookkeeper.open(target) as second,
    ):
        view = one.view(BOOK)
        copier = threading.Thread(target=lambda: copy_book(one.database, second.database, BOOK))
        with first.database.writing() as writing:
            begin_copy(writing, view.book, view.head)
            copier.start()
            wait_for_lock(target)
        copier.join()
    require_same(source, target)


def wait_for_lock(url: str) -> None:
    """Wait until somebody waits for a lock in a database of the server."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with connect() as connection:
        eventually(lambda: connection.execute(query, [make_url(url).database]).fetchone() != (0,))


def test_a_copy_that_another_one_overtakes_goes_on_from_there(source: str, target: str) -> None:
    with (
        Bookkeeper.open(source, "read") as one,
        Bookkeeper.open(target) as into,
        Bookkeeper.open(target) as into_too,
    ):

        def overtake(done: int) -> None:
            if done < EVENTS:
                copy_book(one.database, into_too.database, BOOK)

        done = copy_book(one.database, into.database, BOOK, on_progress=overtake)
        first_batch = copying.EVENTS_AT_ONCE  # the rest came from the other
        assert (done.copied, done.existed) == (first_batch, EVENTS - first_batch)
    require_same(source, target)


def test_what_is_appended_meanwhile_is_left_to_the_next_copy(source: str, target: str) -> None:
    with Bookkeeper.open(source) as keeper, Bookkeeper.open(target) as into:

        def append(done: int) -> None:
            keeper.append(BOOK, event("mark", asset="XRP", price="1", key=f"meanwhile:{done}"))

        first = copy_book(keeper.database, into.database, BOOK, on_progress=append)
        assert (first.copied, first.head.version) == (EVENTS, EVENTS)
        assert into.view(BOOK).head == first.head
        assert copy_book(keeper.database, into.database, BOOK).copied == 4
    require_same(source, target)


def test_a_target_that_is_written_meanwhile_is_another_history(source: str, target: str) -> None:
    with Bookkeeper.open(source, "read") as keeper, Bookkeeper.open(target) as into:

        def write(done: int) -> None:
            if done == copying.EVENTS_AT_ONCE:
                into.append(BOOK, event("mark", asset="XRP", price="1", key="of the target"))

        with pytest.raises(Refused) as raised:
            copy_book(keeper.database, into.database, BOOK, on_progress=write)
        assert raised.value.code == "copy_differs"
        assert check(into.database, BOOK).findings == []


# Books


def _keep_several(location: str) -> None:
    for book, events in (("main", 3), ("B", 1), ("a", 2)):
        keep(location, book, events)


@cache
def _several_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = ledger_file(Path(folder))
        _keep_several(str(path))
        return path.read_bytes()


@cache
def _several_database() -> str:
    name = fresh_database()
    _keep_several(url_of(name))
    return name


@pytest.fixture
def several(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A ledger with several books."""
    if engine == "postgres":
        location = url_of(clone_of(_several_database()))
    else:
        (tmp_path / "several.db").write_bytes(_several_file())
        location = str(tmp_path / "several.db")
    yield location
    forget(location)


def test_all_books_are_copied_or_the_one_that_is_named(cli: Cli, several: str, target: str) -> None:
    assert [line.split(":")[0] for line in copy(cli, several, target, "--book", "a").lines] == ["a"]
    with Bookkeeper.open(target, "read") as keeper:
        assert keeper.resolve(None) == "a"
    assert [line.split(";")[0] for line in copy(cli, several, target).lines] == [
        "B: 1 event copied, 0 existed",
        "a: 0 events copied, 2 existed",
        "main: 3 events copied, 0 existed",
    ]
    for book in ("B", "a", "main"):
        require_same(several, target, book)


def test_a_book_that_is_not_there(cli: Cli, several: str, target: str) -> None:
    assert_refused(copy(cli, several, target, "--book", "c"), 1, "book_unknown", "'B', 'a', 'main'")


def test_another_history_is_refused_by_the_name_of_its_book(cli: Cli, several: str, target: str) -> None:
    with Bookkeeper.open(target) as keeper:
        keeper.open_book("a", Opened(mode="live"))
    before = contents(target)
    with raw_access(several) as raw:
        ((hashed,),) = raw.execute("SELECT hash FROM events WHERE book = 'a' AND version = 1")
    ran = copy(cli, several, target, "--book", "a")
    assert_refused(ran, 1, "copy_differs", "book a: ", "another history", f"expected 1:{bytes(hashed).hex()}, actual")
    with Bookkeeper.open(target) as keeper:
        keeper.open_book("main", Opened(mode="paper"))
    assert_refused(copy(cli, several, target, "--book", "main"), 1, "copy_differs", "book main: ", "another mode")
    assert [row for row in contents(target) if "main" not in row] == before


# A target that is not ready


@pytest.mark.parametrize("to_engine", ENGINES)
def test_a_target_without_a_schema_is_refused_with_the_way_to_make_it(
    cli: Cli, tmp_path: Path, to_engine: Engine
) -> None:
    source = long_ledger("sqlite", tmp_path)
    if to_engine == "postgres":
        target = url_of(empty_database())
    else:
        target = str(tmp_path / "empty.db")
        Path(target).touch()
    assert_refused(copy(cli, source, target), 4, "not_a_ledger", "netbasis db upgrade")
    assert cli.here("db", "upgrade", target=("--db", target)).code == 0
    assert copy(cli, source, target).code == 0
    require_same(source, target)


def test_a_target_that_is_not_there(cli: Cli, source: str, target: str) -> None:
    missing = url_of("no_such_database") if is_url(target) else str(cli.folder / "missing.db")
    assert_refused(copy(cli, source, missing), 4, "database_missing")


def part_of_a_copy(source: str, target: str) -> None:
    """Copy two batches."""
    with Bookkeeper.open(source, "read") as one, Bookkeeper.open(target) as into:

        def stop(done: int) -> None:
            if done >= 2 * copying.EVENTS_AT_ONCE:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy_book(one.database, into.database, BOOK, on_progress=stop)


def test_a_target_whose_projections_are_behind_is_refused_until_it_is_rebuilt(
    cli: Cli, source: str, target: str
) -> None:
    part_of_a_copy(source, target)
    with intruding(target) as raw:
        raw.execute("UPDATE projection_heads SET version = 17")
    words = "expected version 40, actual 'version 17'", "netbasis rebuild", "what was copied stays"
    assert_refused(copy(cli, source, target), 4, "projections_behind", *words)
    assert cli.here("rebuild", target=("--db", target)).code == 0
    assert copy(cli, source, target).code == 0
    require_same(source, target)


def test_a_target_whose_figures_were_changed_is_found_by_its_check(cli: Cli, source: str, target: str) -> None:
    """A copy is of the log; the figures are those of the target, which `check` proves and `rebuild` puts right."""
    part_of_a_copy(source, target)
    with intruding(target) as raw:
        raw.execute("UPDATE basis SET net_deposits = '17'")
    assert copy(cli, source, target).code == 0
    assert cli.here("check", target=("--db", target)).code == 1
    assert cli.here("rebuild", target=("--db", target)).code == 0
    require_same(source, target)


# A source that is not sound


@pytest.mark.parametrize(
    ("engine", "statement", "there", "words"),
    [
        ("sqlite", "UPDATE events SET body = ? WHERE version = 45", 40, ("version 45", "netbasis check")),
        ("postgres", "UPDATE events SET hash = ? WHERE version = 45", 40, ("version 45", "netbasis check")),
        ("sqlite", "DELETE FROM events WHERE version = 45", 40, ("version 46", "netbasis check")),
        ("postgres", "DELETE FROM events WHERE version > 65", 60, ("expected 70:", "65:", "netbasis check")),
        ("sqlite", "DELETE FROM events WHERE version > 60", 60, ("expected 70:", "60:", "netbasis check")),
        ("postgres", "UPDATE books SET head_hash = ?", 70, ("expected 70:", "'70:", "netbasis check")),
    ],
    indirect=["engine"],
)
def test_a_source_whose_chain_is_broken_is_refused_at_its_version(
    cli: Cli, source: str, target: str, statement: str, there: int, words: tuple[str, ...]
) -> None:
    with intruding(source) as raw:
        raw.execute(statement, [b"x" * 32] * statement.count("?"))
    assert_refused(copy(cli, source, target), 4, "event_unreadable", "book main: ", *words)
    assert copied(target) == there
    with Bookkeeper.open(target, "read") as keeper:
        assert check(keeper.database, BOOK).findings == []


def test_a_copy_whose_first_batch_is_not_sound_leaves_no_book(cli: Cli, source: str, target: str) -> None:
    """A book without its first event could be written to, and would never be right again."""
    with intruding(source) as raw:
        raw.execute("UPDATE events SET body = ? WHERE version = 3", [b"x"])
    assert_refused(copy(cli, source, target), 4, "event_unreadable", "version 3")
    with raw_access(target) as raw:
        assert raw.execute("SELECT count(*) FROM books") == [(0,)]


# Restarts of the server


@pytest.fixture(scope="module")
def server() -> Iterator[RestartableServer]:
    """One server for the tests that restart it, running at the start of each."""
    with running_server() as started:
        yield started


def test_a_copy_goes_on_through_a_crash_of_the_server(server: RestartableServer, tmp_path: Path) -> None:
    """Of the target's and, on the way back, of the source's."""
    source, back = long_ledger("sqlite", tmp_path), str(ledger_file(tmp_path, "back.db"))
    url = server.new_ledger("copy_on", book=None)
    for one, other in ((source, url), (url, back)):
        with start(one, other, tmp_path) as child:
            eventually(begun(other, child))
            server.restart("immediate")
            ran = ended(child)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"main: {EVENTS} events copied, 0 existed; head {EVENTS}:")
        require_same(one, other)


def test_a_copy_whose_server_stays_away_is_a_clear_error_and_goes_on_later(
    server: RestartableServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeating, "PAUSES_S", (0.01,))
    monkeypatch.setattr(copying, "EVENTS_AT_ONCE", 1)  # still under way when the server stops
    source = long_ledger("sqlite", cli.folder)
    url = server.new_ledger("copy_away", book=None)
    ran: list[Ran] = []
    copier = threading.Thread(target=lambda: ran.append(copy(cli, source, url)))
    copier.start()
    eventually(lambda: copied(url) > 0)
    server.stop("immediate")
    try:
        copier.join()
    finally:
        server.start()
    assert_refused(ran[0], 4, "database_unreachable", "book main: ", "what was copied stays")
    there = copied(url)
    assert 0 < there < EVENTS
    assert copy(cli, source, url).out.startswith(f"main: {EVENTS - there} events copied, {there} existed")
    require_same(source, url)


def test_a_batch_whose_answer_is_lost_is_not_written_twice(server: RestartableServer, tmp_path: Path) -> None:
    """The server holds the answer back after its commit, and is restarted then."""
    source = long_ledger("sqlite", tmp_path)
    url = server.new_ledger("copy_held", book=None)
    with start(source, url, tmp_path) as child:
        eventually(lambda: copied(url) > 0)
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        server.wait_until("wait_event = 'SyncRep'")
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.restart("immediate")
        ran = ended(child)
    assert (ran.code, ran.err) == (0, "")
    require_same(source, url)


def test_a_damaged_source_is_not_taken_for_a_lost_target(cli: Cli, tmp_path: Path) -> None:
    """Each database's errors are its own, with its own name."""
    source, target = tmp_path / "long.db", url_of(fresh_database())
    long_ledger("sqlite", tmp_path)
    data = bytearray(source.read_bytes())
    end = len(data) * 3 // 4  # the tables that are opened first lie before it
    data[end:] = b"\xff" * (len(data) - end)
    source.write_bytes(data)
    with Bookkeeper.open(str(source), "read") as one, Bookkeeper.open(target) as into:
        with pytest.raises(StorageError) as raised:
            copy_book(one.database, into.database, BOOK)
        assert raised.value.code == "database_damaged"
        assert "long.db" in str(raised.value)
