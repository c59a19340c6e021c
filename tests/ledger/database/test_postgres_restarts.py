"""Real restarts and crashes of a real server: what was acknowledged is there, once; what is said of the rest is true."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import make_url

from engine import retrying as repeating
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject, withdraw
from engine.proof.check import check
from ledger.errors import StorageError
from ledger.events import Event
from tests.cli_support import assert_refused, clean_environment, deposit, ended, ndjson
from tests.restartable_postgres import GIVE_UP_S, Mode, RestartableServer, eventually, running_server
from tests.script_server import ForkedScript
from tests.support import BOOK, event, log_of

MODES: tuple[Mode, ...] = ("fast", "immediate")
_numbers = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[RestartableServer]:
    """One server for all tests of this module, running at the start of each."""
    with running_server() as started:
        yield started


@pytest.fixture
def url(server: RestartableServer) -> str:
    """A ledger of the test's own."""
    return server.new_ledger(f"ledger_{next(_numbers)}")


def mark(number: int, *, with_key: bool = True) -> Event:
    fields = {"key": f"m:{number}"} if with_key else {}
    return event("mark", asset="XRP", price=str(number), **fields)


def prices(keeper: Bookkeeper) -> list[int]:
    """The numbers of the marks in the log, in its order."""
    return [int(stored.price) for stored in log_of(keeper) if stored.price is not None]


def database_of(url: str) -> str:
    name = make_url(url).database
    assert name is not None
    return name


def require_sound(url: str) -> None:
    with Bookkeeper.open(url, "read") as keeper:
        log = log_of(keeper)
        assert [stored.version for stored in log] == list(range(1, len(log) + 1))
        assert check(keeper.database, BOOK).findings == []


class Writer(threading.Thread):
    """A bot that appends one mark after the other until it is told to stop, and keeps what it was told."""

    def __init__(self, url: str, *, with_key: bool) -> None:
        super().__init__()
        self.acknowledged: list[int] = []
        self.versions: list[int] = []
        self.errors: dict[int, StorageError] = {}
        self._url = url
        self._with_key = with_key
        self._stopping = threading.Event()

    def run(self) -> None:
        with Bookkeeper.open(self._url) as keeper:
            for number in count(1):
                if self._stopping.is_set():
                    return
                try:
                    outcome = keeper.append(BOOK, mark(number, with_key=self._with_key))
                except StorageError as error:
                    self.errors[number] = error
                else:
                    self.acknowledged.append(number)
                    self.versions.append(outcome.stored.version)

    def wait_for_more(self) -> None:
        before = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) > before + 3 or not self.is_alive())

    def stop(self) -> None:
        self._stopping.set()
        self.join(GIVE_UP_S)
        assert not self.is_alive()


@pytest.mark.parametrize("with_key", [True, False], ids=["keys", "no keys"])
def test_a_bot_goes_on_through_restarts_and_crashes(server: RestartableServer, url: str, with_key: bool) -> None:
    writer = Writer(url, with_key=with_key)
    writer.start()
    for mode in (*MODES, "immediate") if with_key else MODES:
        writer.wait_for_more()
        server.restart(mode)
    writer.wait_for_more()
    writer.stop()
    assert with_key <= (not writer.errors)
    with Bookkeeper.open(url, "read") as keeper:
        written = prices(keeper)
        by_number = {int(stored.price): stored.version for stored in log_of(keeper) if stored.price is not None}
    assert len(set(written)) == len(written)
    unknown = {number for number, error in writer.errors.items() if error.outcome_is_unknown}
    assert set(writer.acknowledged) <= set(written) <= {*writer.acknowledged, *unknown}
    assert [by_number[number] for number in writer.acknowledged] == writer.versions
    assert all("not known" in str(writer.errors[number]) for number in unknown)
    require_sound(url)


# Between commit and answer: the server has committed and waits for a replica that is not there before it answers.


class Held:
    """Something done in a thread, held by the server between its commit and the answer."""

    def __init__(self, server: RestartableServer, work: object) -> None:
        assert callable(work)
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        eventually(lambda: server.execute("SHOW synchronous_standby_names") == [("nobody",)])
        self.result: object = None
        self.error: StorageError | None = None

        def run() -> None:
            try:
                self.result = work()
            except StorageError as error:
                self.error = error

        self._server = server
        self._thread = threading.Thread(target=run)
        self._thread.start()
        server.wait_until("wait_event = 'SyncRep'")

    def restart(self, mode: Mode) -> None:
        """Restart the server, which then waits for no replica, and wait for the end of the work."""
        self._server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self._server.restart(mode)
        self._thread.join(GIVE_UP_S)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("mode", MODES)
def test_between_commit_and_answer_with_a_key_it_is_there_once(server: RestartableServer, url: str, mode: Mode) -> None:
    with Bookkeeper.open(url) as keeper:
        held = Held(server, lambda: keeper.append(BOOK, mark(1)).existed)
        held.restart(mode)
        assert (held.result, held.error) == (True, None)  # written by the first attempt, found by the second
        assert prices(keeper) == [1]
    require_sound(url)


@pytest.mark.parametrize("mode", MODES)
def test_between_commit_and_answer_without_a_key_it_is_said_that_nobody_knows(
    server: RestartableServer, url: str, mode: Mode
) -> None:
    with Bookkeeper.open(url) as keeper:
        held = Held(server, lambda: keeper.append(BOOK, mark(1, with_key=False)))
        held.restart(mode)
        assert held.error is not None
        assert (held.error.code, held.error.outcome_is_unknown) == ("database_unreachable", True)
        assert "it is not known whether it was written" in str(held.error)
        assert prices(keeper) == [1]
    require_sound(url)


@pytest.mark.parametrize("tx_hash", ["0xabc", None], ids=["key", "no key"])
@pytest.mark.parametrize("move", [inject, withdraw], ids=["inject", "withdraw"])
def test_capital_moves_once_when_the_answer_is_lost(
    server: RestartableServer, url: str, move: object, tx_hash: str | None
) -> None:
    assert callable(move)
    with Bookkeeper.open(url) as keeper:
        inject(keeper, BOOK, Movement("100"))
        held = Held(server, lambda: move(keeper, BOOK, Movement("10", tx_hash=tx_hash)))
        held.restart("immediate")
        if tx_hash is None:
            assert held.error is not None
            assert held.error.outcome_is_unknown
        else:
            assert held.error is None
        assert len(log_of(keeper)) == 3
        expected = 110 if move is inject else 90
        assert keeper.view(BOOK).state.inventory.balance("RLUSD") == expected
    require_sound(url)


@pytest.mark.parametrize("move", [inject, withdraw], ids=["inject", "withdraw"])
def test_capital_goes_on_after_a_restart_before_its_commit(server: RestartableServer, url: str, move: object) -> None:
    """Without a key, too: its transaction waits for the book's lock when the server goes away."""
    assert callable(move)
    done: list[object] = []
    with Bookkeeper.open(url) as keeper:
        inject(keeper, BOOK, Movement("100"))
        with closing(server.connect(database_of(url))) as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT * FROM books FOR UPDATE")
            thread = threading.Thread(target=lambda: done.append(move(keeper, BOOK, Movement("10"))))
            thread.start()
            server.wait_until("wait_event_type = 'Lock'")
            server.restart("fast")
            thread.join(GIVE_UP_S)
        assert len(done) == 1
        assert len(log_of(keeper)) == 3
    require_sound(url)


def test_a_reader_finds_the_server_again(server: RestartableServer, url: str) -> None:
    with Bookkeeper.open(url) as keeper:
        keeper.append(BOOK, mark(1))
        server.restart()
        assert keeper.view(BOOK).head.version == 2


def test_acknowledged_events_survive_a_crash_of_a_server_whose_default_is_not_to_wait(
    server: RestartableServer, url: str
) -> None:
    server.execute(f'ALTER DATABASE "{database_of(url)}" SET synchronous_commit = off')
    server.execute("ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()")
    with Bookkeeper.open(url) as keeper:
        for number in range(1, 4):
            keeper.append(BOOK, mark(number))
        server.restart("immediate")
        assert prices(keeper) == [1, 2, 3]
    server.execute("ALTER SYSTEM RESET wal_writer_delay", "SELECT pg_reload_conf()")
    require_sound(url)


# A server that stays away


@pytest.mark.parametrize("with_key", [True, False])
def test_a_server_that_stays_away_is_a_clear_error(
    server: RestartableServer, url: str, with_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeating, "PAUSES_S", (0.01, 0.01))
    with Bookkeeper.open(url) as keeper:
        keeper.append(BOOK, mark(1))
        server.stop("immediate")
        try:
            with pytest.raises(StorageError) as raised:
                keeper.append(BOOK, mark(2, with_key=with_key))
        finally:
            server.start()
        assert (raised.value.code, raised.value.outcome_is_unknown) == ("database_unreachable", False)
        assert prices(keeper) == [1]
        keeper.append(BOOK, mark(3))
    require_sound(url)


def test_a_server_that_stays_away_after_the_commit_leaves_the_outcome_unknown(
    server: RestartableServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later attempts only could not get there; they must not speak for the first one."""
    monkeypatch.setattr(repeating, "PAUSES_S", (0.01, 0.01))
    with Bookkeeper.open(url) as keeper:
        held = Held(server, lambda: keeper.append(BOOK, mark(1)))
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.stop("immediate")
        try:
            eventually(lambda: held.error is not None)
        finally:
            server.start()
        assert held.error is not None
        assert held.error.outcome_is_unknown
        assert "not known" in str(held.error)
        assert prices(keeper) == [1]


# The command line


class Script:
    """The script on a ledger of the server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def start(self, *arguments: str) -> ForkedScript:
        return ForkedScript(["--db", self.url, *arguments], cwd=self.folder, env=clean_environment(self.folder))

    def write(self, name: str, events: int) -> str:
        (self.folder / name).write_bytes(ndjson(deposit(f"d:{number}") for number in range(1, events + 1)))
        return name


@pytest.fixture
def script(tmp_path: Path, url: str) -> Script:
    """The script on this test's ledger."""
    return Script(tmp_path, url)


def keys(url: str) -> list[str]:
    with Bookkeeper.open(url, "read") as keeper:
        return [stored.key for stored in log_of(keeper)]


def expected_keys(events: int) -> list[str]:
    return ["opened", *(f"d:{number}" for number in range(1, events + 1))]


def test_a_file_is_appended_whole_through_a_crash(server: RestartableServer, script: Script) -> None:
    file = script.write("given.ndjson", 2000)
    with script.start("append", "--file", file, "-O", "json") as child:
        server.wait_until("backend_xid IS NOT NULL")  # it has begun to write
        server.restart("immediate")
        ran = ended(child)
    assert (ran.code, ran.err) == (0, "")
    assert {name: ran.json[name] for name in ("appended", "existed", "version")} == {
        "appended": 2000,
        "existed": 0,
        "version": 2001,
    }
    assert keys(script.url) == expected_keys(2000)
    require_sound(script.url)


def test_a_stream_goes_on_through_a_restart(server: RestartableServer, script: Script) -> None:
    file = script.write("given.ndjson", 600)
    with script.start("append", "--file", file, "--batch", "20", "-O", "json") as child:
        assert child.stdout is not None
        first = child.stdout.readline().decode()
        server.restart("fast")
        ran = ended(child)
    assert (ran.code, ran.err) == (0, "")
    answers = [json.loads(line) for line in (first, *ran.lines)]
    assert [answer["version"] for answer in answers] == list(range(21, 602, 20))
    assert sum(answer["appended"] + answer["existed"] for answer in answers) == 600
    assert keys(script.url) == expected_keys(600)
    require_sound(script.url)


def test_a_stream_whose_server_stays_away_says_how_far_it_came_and_a_second_run_completes_it(
    server: RestartableServer, script: Script
) -> None:
    file = script.write("given.ndjson", 40)
    lines = (script.folder / file).read_bytes().splitlines(keepends=True)
    with script.start("append", "--file", "-", "--batch", "20") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"".join(lines[:20]))
        child.stdin.flush()
        assert child.stdout.readline().startswith(b"appended 20; version 21")
        server.stop("immediate")
        try:
            child.stdin.write(b"".join(lines[20:]))
            child.stdin.close()
            ran = ended(child)
        finally:
            server.start()
    assert_refused(ran, 4, "database_unreachable", "check the server", "lines 1 to 20 are committed")
    assert keys(script.url) == expected_keys(20)
    with script.start("append", "--file", file) as child:
        again = ended(child)
    assert re.fullmatch(r"appended 20, 20 existed; version 41, head [0-9a-f]{12}", again.lines[0])
    assert keys(script.url) == expected_keys(40)
    require_sound(script.url)


def test_a_command_without_a_key_says_that_the_outcome_is_not_known(server: RestartableServer, script: Script) -> None:
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    with script.start("inject", "--amount", "5") as child:
        server.wait_until("wait_event = 'SyncRep'")
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.restart("fast")
        ran = ended(child)
    assert_refused(ran, 4, "database_unreachable", "it is not known whether it was written")
    assert len(keys(script.url)) == 2


def test_no_server_is_a_clear_error(server: RestartableServer, script: Script) -> None:
    server.stop("fast")
    try:
        with script.start("append", "deposit", "--asset", "RLUSD", "--amount", "1", "--key", "d:1") as child:
            ran = ended(child)
    finally:
        server.start()
    assert_refused(ran, 4, "database_unreachable", "check the server")
    assert keys(script.url) == ["opened"]
