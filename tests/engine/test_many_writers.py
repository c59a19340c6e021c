"""Many writers at once, in processes of their own, on both engines: nothing is lost, doubled or overtaken, nobody hangs.

What has to happen first is waited for, never slept for: that a process is ready, holds the book, waits for it, was stopped.
"""

from __future__ import annotations

import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import make_url

from cli.shared.output import shown
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger.database.faults import Access
from ledger.database.postgres import is_url
from ledger.errors import StorageError
from ledger.events import Opened
from ledger.stored import StoredEvent
from tests.cli_support import Ran, clean_environment, ended
from tests.engine.writer_processes import (
    GIVE_UP_S,
    MEET_EVERY,
    SHARED_EVERY,
    Acknowledged,
    GaveUp,
    Process,
    Seen,
    acknowledgements,
    all_started,
    append_many,
    append_one,
    append_when_told,
    begin_ledger,
    hold,
    meeting_of,
    own_event,
    read_long,
    tell_all,
)
from tests.ledger.database.store_support import require_projections_match
from tests.postgres_support import connect, empty_database, fresh_database, url_of
from tests.script_server import COMMAND_LINE, ForkedScript
from tests.support import BOOK, ledger_file, log_of

WRITERS = [f"w{number}" for number in range(4)]
APPENDS = 50
SHARED = APPENDS // SHARED_EVERY
MEETINGS = APPENDS // MEET_EVERY
SHORT_WAIT_S = 1.5
PATIENT_S = 30.0
FILL = ("append", "fill", "--side", "buy", "--base-amount", "11.27", "--quote-amount", "15", "--key", "venue:1")
WAITS = "waiting: another process is writing to the ledger …\n"
# The command line, but for how long it waits: half a minute is what a user has, and too long for a test.
IMPATIENT = f"""
import sys
from cli.main import run
from engine.bookkeeper import Bookkeeper
Bookkeeper.open.__kwdefaults__["busy_timeout_s"] = {SHORT_WAIT_S}
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def file() -> Iterator[str]:
    """A SQLite file with one book at version 1."""
    with tempfile.TemporaryDirectory() as folder:
        yield with_books(str(ledger_file(Path(folder))), BOOK)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def location(request: pytest.FixtureRequest) -> Iterator[str]:
    """A ledger with one book at version 1, on each engine in turn."""
    if request.param == "SQLite":
        yield request.getfixturevalue("file")
        return
    name = fresh_database()
    yield with_books(url_of(name), BOOK)
    with connect() as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def with_books(location: str, *names: str) -> str:
    """The same location, with books at version 1."""
    with Bookkeeper.open(location) as keeper:
        for name in names:
            keeper.open_book(name, Opened(mode="live"))
    return location


def sound_log(location: str, book: str = BOOK) -> list[StoredEvent]:
    """The log after its opening; it has no gap, its times do not decrease, and all that is kept with it agrees."""
    with Bookkeeper.open(location, "read") as keeper:
        log = log_of(keeper, book)
        assert check(keeper.database, book).findings == []
        require_projections_match(keeper, book)
    assert [stored.version for stored in log] == list(range(1, len(log) + 1))
    assert all(one.recorded_at <= next_one.recorded_at for one, next_one in pairwise(log))
    return log[1:]


def facts(log: Iterable[StoredEvent]) -> list[tuple[str, int, bytes]]:
    """What identifies each event."""
    return [(stored.key, stored.version, stored.hash) for stored in log]


def written(told: Iterable[Acknowledged]) -> list[tuple[str, int, bytes]]:
    """What identifies each event that a writer was told it had appended, in the order of the log."""
    return sorted(((one.key, one.version, one.hash) for one in told if not one.existed), key=lambda one: one[1])


def changes_of_writer(log: Iterable[StoredEvent]) -> int:
    """How often another writer's event follows, where one can tell whose it is."""
    writers = [stored.key.split(":")[0] for stored in log if not stored.key.startswith("shared:")]
    return sum(one != next_one for one, next_one in pairwise(writers))


def await_waiting(location: str, *writers: Process) -> None:
    """Return when all the writers, and nobody else, stand before the lock."""
    if not is_url(location):
        assert [writer.hear() for writer in writers] == ["waits"] * len(writers)
        return
    await_server_waits(location, len(writers))


def await_server_waits(location: str, count: int) -> None:
    """Return when so many transactions wait for a lock of the server's database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    give_up = time.monotonic() + GIVE_UP_S
    with connect() as connection:
        while connection.execute(query, [make_url(location).database]).fetchone() != (count,):
            assert time.monotonic() < give_up, "the writers do not wait"


# 4 processes, 100 appends each


def test_many_writers_of_one_book(location: str) -> None:
    """The last one's clock is an hour behind, as a machine's may be."""
    lags = [0.0] * (len(WRITERS) - 1) + [3600.0]
    meeting = meeting_of(len(WRITERS))
    arguments = [(location, BOOK, writer, APPENDS, lag, meeting) for writer, lag in zip(WRITERS, lags, strict=True)]
    began = datetime.now(UTC)
    told = run_to_the_end(arguments)
    log = sound_log(location)
    assert facts(log) == written(told)
    assert len(log) == len(WRITERS) * APPENDS + SHARED
    assert Counter(one.writer for one in told) == dict.fromkeys(WRITERS, APPENDS + SHARED)
    assert began - timedelta(minutes=1) < log[0].recorded_at <= log[-1].recorded_at <= datetime.now(UTC)
    require_each_shared_once(told)
    assert changes_of_writer(log) >= MEETINGS * (len(WRITERS) - 1)


def require_each_shared_once(told: Iterable[Acknowledged]) -> None:
    """Of those that sent the same fill one was told that it is new, and all were told of the same event."""
    answers: dict[str, list[Acknowledged]] = {}
    for one in told:
        answers.setdefault(one.key, []).append(one)
    shared = {key: of_key for key, of_key in answers.items() if key.startswith("shared:")}
    assert len(shared) == SHARED
    for of_key in shared.values():
        assert sorted(one.existed for one in of_key) == [False] + [True] * (len(WRITERS) - 1)
        assert len({(one.version, one.hash) for one in of_key}) == 1


def run_to_the_end(arguments: Sequence[tuple[object, ...]]) -> list[Acknowledged]:
    """Run a writer for each tuple of arguments, all from one moment on; what they were told."""
    with all_started(append_many, *arguments) as writers:
        tell_all(writers, "go")
        told = list(acknowledgements(writers))
        assert [writer.join() for writer in writers] == [0] * len(writers)
    return told


def test_many_writers_of_a_book_each(location: str) -> None:
    with_books(location, *WRITERS)
    meeting = meeting_of(len(WRITERS))
    told = run_to_the_end([(location, writer, writer, APPENDS, 0.0, meeting) for writer in WRITERS])
    everything: list[StoredEvent] = []
    for writer in WRITERS:
        log = sound_log(location, writer)
        assert facts(log) == written(one for one in told if one.writer == writer)
        assert len(log) == APPENDS + SHARED
        everything += log
    assert not any(one.existed for one in told)
    assert sound_log(location) == []
    everything.sort(key=lambda stored: stored.recorded_at)
    assert changes_of_writer(everything) >= MEETINGS * (len(WRITERS) - 1)


# Many that begin


@pytest.mark.parametrize("engine", ["SQLite", "PostgreSQL"])
def test_of_many_who_begin_the_same_ledger_one_makes_it_and_all_have_it(engine: str, tmp_path: Path) -> None:
    location = str(tmp_path / "ledger.db") if engine == "SQLite" else url_of(empty_database())
    with all_started(begin_ledger, *[(location,)] * 4) as beginners:
        tell_all(beginners, "make it")
        assert [beginner.hear() for beginner in beginners] == ["made"] * len(beginners)
        tell_all(beginners, "open its book")
        told = list(acknowledgements(beginners))
        assert [beginner.join() for beginner in beginners] == [0] * len(beginners)
    assert sorted(one.existed for one in told) == [False, True, True, True]
    assert len({one.hash for one in told}) == 1
    assert sound_log(location) == []


# Two bots, one fill


def start(location: str, folder: Path, *arguments: str, program: str = COMMAND_LINE) -> ForkedScript:
    """A command line, started as a bot does; to be used as a context manager."""
    return ForkedScript(["--db", location, *arguments], cwd=folder, env=clean_environment(folder), program=program)


def await_commands(location: str, *commands: ForkedScript) -> None:
    """Return when all the commands stand before the lock; on SQLite they say so."""
    if is_url(location):
        await_server_waits(location, len(commands))
        return
    for command in commands:
        assert command.stderr is not None
        assert command.stderr.readline().decode() == WAITS


def test_two_bots_that_send_the_same_fill_get_one_event_and_one_exists(location: str, tmp_path: Path) -> None:
    """Both wait for the lock without having seen it in the book, so that only what is read under the lock is true."""
    with ExitStack() as children, Bookkeeper.open(location) as keeper:
        with keeper.transaction(BOOK):
            bots = [children.enter_context(start(location, tmp_path, *FILL)) for _ in range(2)]
            await_commands(location, *bots)
        first, second = sorted((ended(bot) for bot in bots), key=lambda ran: ran.out)
    (stored,) = sound_log(location)
    assert first == Ran(0, f"appended fill at version 2, key venue:1, hash {shown(stored.hash)}\n", "")
    assert second == Ran(0, "exists: fill at version 2, key venue:1; nothing was written\n", "")


# A writer that dies, or stands still


def test_a_writer_that_dies_before_its_commit_holds_nobody_up(location: str) -> None:
    with (
        all_started(hold, (location, "dying")) as (dying,),
        all_started(append_one, (location, "next", PATIENT_S)) as (waiting,),
    ):
        dying.tell("go")
        assert dying.hear() == "holds"
        waiting.tell("go")
        await_waiting(location, waiting)
        dying.kill()
        told = waiting.hear()
        assert waiting.join() == 0
    assert facts(sound_log(location)) == written([told]) == [("next:0", 2, told.hash)]


def test_a_writer_killed_among_others_leaves_what_it_was_told_and_no_gap(location: str) -> None:
    """It is killed wherever it stands: at most one append has been done that it was not told of."""
    some = ["dying", *WRITERS[:2]]
    told: list[Acknowledged] = []
    with all_started(append_many, *((location, BOOK, writer, 100) for writer in some)) as writers:
        tell_all(writers, "go")
        for one in acknowledgements(writers):
            told.append(one)
            if Counter(one.writer for one in told)["dying"] == 50 and writers[0].process.is_alive():
                writers[0].kill()
        assert [writer.join() for writer in writers] == [-signal.SIGKILL, 0, 0]
    log = facts(sound_log(location))
    untold = [event for event in log if event not in written(told)]
    assert [event for event in log if event not in untold] == written(told)
    assert len(untold) <= 1
    assert all(key.startswith(("dying:", "shared:")) for key, _, _ in untold)


def test_others_give_up_on_a_writer_that_is_stopped_and_it_goes_on_afterwards(location: str) -> None:
    with (
        all_started(hold, (location, "stopped")) as (holder,),
        all_started(append_one, (location, "other", SHORT_WAIT_S), (location, "later", PATIENT_S)) as (other, later),
    ):
        holder.tell("go")
        assert holder.hear() == "holds"
        with holder.stopped():
            holder.tell("commit")
            other.tell("go")
            await_waiting(location, other)
            gave_up = other.hear()
        told = [holder.hear(), holder.hear()]
        later.tell("go")
        told.append(later.hear())
        assert [process.join() for process in (holder, other, later)] == [0, 0, 0]
    assert isinstance(gave_up, GaveUp)
    assert (gave_up.code, gave_up.exit_code) == ("database_busy", 4)
    assert gave_up.advice is not None
    assert "nothing was written" in gave_up.advice
    assert facts(sound_log(location)) == written(told)
    assert [one.key for one in told] == ["stopped:0", "stopped:1", "later:0"]


def test_a_writer_holds_up_nobody_who_writes_to_another_book_of_a_server() -> None:
    location = with_books(url_of(fresh_database()), BOOK, "other")
    with Bookkeeper.open(location) as first:  # the first event of its form in a ledger is announced to all
        first.append(BOOK, own_event("first", 0))
    with (
        Bookkeeper.open(location) as one,
        Bookkeeper.open(location, busy_timeout_s=SHORT_WAIT_S) as other,
        one.transaction(BOOK) as transaction,
    ):
        transaction.append(own_event("one", 0))
        assert other.append("other", own_event("other", 0)).stored.version == 2
    assert (len(sound_log(location)), len(sound_log(location, "other"))) == (2, 1)


# A long reader


def test_a_long_reader_sees_one_state_and_holds_no_writer_up(location: str) -> None:
    """It begins while two writers are at work, stops in the middle of the log, and both write on to their end."""
    before, at_once, more = 120, 50, 20  # more than is fetched at once: the log is not yet read when they go on
    with Bookkeeper.open(location) as keeper:
        keeper.append_all(BOOK, [own_event("before", number) for number in range(before)])
    with (
        all_started(append_when_told, *((location, writer, more) for writer in WRITERS[:2])) as writers,
        all_started(read_long, (location, at_once)) as (reader,),
    ):
        tell_all([*writers, reader], "go")
        assert reader.hear() == "holds"
        for _ in range(2):
            assert [writer.hear() for writer in writers] == ["done", "done"]
            tell_all(writers, "go")
        assert [writer.hear() for writer in writers] == ["done", "done"]
        reader.tell("go on")
        seen = reader.hear()
        tell_all(writers, "end")
        assert [process.join() for process in (reader, *writers)] == [0, 0, 0]
    assert isinstance(seen, Seen)
    version = seen.heads[0]
    log = sound_log(location)
    assert len(log) == before + 3 * 2 * more
    assert version <= len(log) + 1 - 2 * 2 * more, "what was written while it held its transaction"
    assert seen == Seen((version, version), list(range(1, version + 1)), log[version - 2].hash, (True, True))


# A writer that waits


def test_a_command_that_waits_says_so_once_and_goes_on(file: str, tmp_path: Path) -> None:
    with ExitStack() as children, Bookkeeper.open(file) as keeper:
        with keeper.transaction(BOOK):
            bot = children.enter_context(start(file, tmp_path, *FILL))
            await_commands(file, bot)
        ran = ended(bot)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("appended fill at version 2")


def test_a_command_that_waited_too_long_says_what_to_do(location: str, tmp_path: Path) -> None:
    with (
        Bookkeeper.open(location) as keeper,
        keeper.transaction(BOOK),
        start(location, tmp_path, *FILL, program=IMPATIENT) as bot,
    ):
        ran = ended(bot)
    assert (ran.code, ran.out) == (4, "")
    waits, error = ran.err.splitlines() if not is_url(location) else (WAITS.strip(), ran.err)
    assert waits == WAITS.strip()
    assert error.startswith("error[database_busy]: ")
    assert "nothing was written" in error
    assert sound_log(location) == []


@pytest.mark.parametrize("access", ["write", "create"])
def test_a_file_that_somebody_writes_to_gets_its_wal_when_it_is_its_turn(tmp_path: Path, access: Access) -> None:
    """A copy made by `VACUUM INTO` has none yet, nor has a file that is new to both. SQLite itself would not wait here."""
    location = str(tmp_path / "ledger.db")
    if access == "write":
        set_back(with_books(str(ledger_file(tmp_path)), BOOK))
    said: list[str] = []
    with closing(sqlite3.connect(location, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")

        def on_wait() -> None:
            said.append("waits")
            holder.execute("COMMIT")

        with Bookkeeper.open(location, access, on_wait=on_wait) as keeper:
            keeper.open_book(BOOK, Opened(mode="live"))
        assert holder.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert said == ["waits"]
    assert sound_log(location) == []


def set_back(location: str) -> None:
    """Take a file's WAL away."""
    with closing(sqlite3.connect(location)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_writer_says_that_it_waits_after_a_second_and_gives_up_after_the_busy_timeout(
    file: str, journal: str
) -> None:
    """Not before; how long after is the machine's. What waits is the append, or the opening that is to give a WAL."""
    if journal == "DELETE":
        set_back(file)
    said: list[float] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with (
            pytest.raises(StorageError, match="database_busy"),
            Bookkeeper.open(file, busy_timeout_s=SHORT_WAIT_S, on_wait=lambda: said.append(time.monotonic())) as keeper,
        ):
            keeper.append(BOOK, own_event("one", 0))
        gave_up = time.monotonic()
    (after,) = said
    assert after - began >= 1
    assert gave_up - began >= SHORT_WAIT_S
