"""A check by worker processes finds what one process finds, in the same order; what a lost worker did not say is read here.

What each kind of tampered row does to ranges is in `test_fast_lane.py`; here the processes are real and ranges are short, so
that every few rows one ends. Where nothing depends on how a worker is started, it is forked from a process that has imported
everything, which takes a tenth of the time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof import ranges_lane, whole_ledger, workers
from engine.proof.check import LedgerReport, check_ledger
from engine.proof.heads import ExpectedHead
from engine.proof.request import CheckRequest
from engine.proof.workers import Lost, Work, Worker, working
from ledger import store
from ledger.database.connections import Database
from ledger.errors import StorageError
from tests.cli_support import ON_A_FILE
from tests.engine.proof.says import Says
from tests.engine.proof.test_fast_lane import common_events
from tests.engines import Engine, Raw, intruding
from tests.ledger.database.store_support import append_sample
from tests.script_server import ForkedScript
from tests.support import BOOK, ROOT, START, TickingClock, event, open_keeper

RANGE = 7
WANTED = CheckRequest(now=START.replace(year=2028))
SAMPLE = 60


@pytest.fixture
def ledger(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger with events of every type in the book `main`, and a second book; ranges are of 7 versions."""
    monkeypatch.setattr(ranges_lane, "RANGE", RANGE)
    with open_keeper(tmp_path, location=location) as keeper:
        append_sample(keeper)
        keeper.append_all(BOOK, list(common_events(Random(5), SAMPLE)))  # noqa: S311 - repeatable, not secret
        keeper.open_book("other", event("opened", mode="paper"))  # type: ignore[arg-type]
        keeper.append_all("other", list(common_events(Random(6), RANGE)))  # noqa: S311
    return location


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """From now on workers are forked by the server of processes, and all else of them is as it is; those that were."""
    started: list[Worker] = []

    class Forked(Worker):
        def __init__(self, work: Work) -> None:
            how: dict[str, Any] = {"stderr": subprocess.DEVNULL, "program": workers._PROGRAM}
            self._process: Any = ForkedScript([], cwd=ROOT, env=os.environ, **how)
            started.append(self)
            self._give(work)

    monkeypatch.setattr(workers, "Worker", Forked)
    return started


FORKED = pytest.mark.usefixtures("forked")


def checked(location: str, processes: int | None, wanted: CheckRequest = WANTED) -> LedgerReport:
    with Database.open(location, "read") as database:
        return check_ledger(database, None, replace(wanted, processes=processes))


def require_same(location: str, wanted: CheckRequest = WANTED) -> LedgerReport:
    """What one process tells, and two workers tell the same."""
    alone = checked(location, 1, wanted)
    assert checked(location, 2, wanted) == alone
    return alone


def hash_at(raw: Raw, version: int) -> bytes:
    ((found,),) = raw.execute("SELECT hash FROM events WHERE book = 'main' AND version = ?", [version])
    return bytes(found)


def test_a_sound_ledger_and_heads_that_were_kept(ledger: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    """With workers that the program starts itself on a file, and on both engines with forked ones."""
    with intruding(ledger) as raw:
        heads = [ExpectedHead(hash_at(raw, 8), 8, book=BOOK), ExpectedHead(hash_at(raw, 30), book=BOOK)]
        lost = ExpectedHead(hash_at(raw, 40), 41, book=BOOK)
    if engine == "postgres":
        request.getfixturevalue("forked")
    sound = require_same(ledger, replace(WANTED, kept_heads=heads))
    assert sound.ok
    assert [book.head.version for book in sound.books] > [SAMPLE, RANGE]
    forked = request.getfixturevalue("forked")
    (finding,) = require_same(ledger, replace(WANTED, kept_heads=[*heads, lost])).books[0].findings
    assert finding.version == 41
    assert len(forked) == (6 if engine == "postgres" else 3)


@FORKED
def test_rows_that_were_changed_at_the_ends_of_ranges_are_told_alike(ledger: str) -> None:
    """Ranges begin at 2, 9, 16, …: bytes, hashes, copies, times and amounts on either side of an end, all in one log."""
    with intruding(ledger) as raw:
        for statement in (
            "UPDATE events SET body = hash WHERE version = 15",
            "UPDATE events SET hash = body WHERE version = 22",
            "UPDATE events SET event_id = 'x' WHERE version IN (29, 30)",
            "UPDATE events SET key = 'forged' WHERE version = 37",
            "UPDATE events SET asset_delta = '77' WHERE version = 44",
        ):
            raw.execute(f"{statement} AND book = 'main'")
    found = require_same(ledger).books[0].findings
    assert {15, 16, 22, 23, 29, 30, 37, 44} >= {finding.version for finding in found if finding.invariant == "chain"}
    assert {15, 22, 29, 30, 37} <= {finding.version for finding in found}
    assert any(finding.invariant == "log_rules" and "event id" in finding.detail for finding in found)


@FORKED
def test_a_gap_and_rows_that_have_no_place_are_told_alike(ledger: str, engine: str) -> None:
    with intruding(ledger) as raw:
        raw.execute("DELETE FROM events WHERE book = 'main' AND version = 23")
        if engine == "sqlite":  # a server keeps its constraint whoever comes
            raw.execute("UPDATE events SET version = 0 WHERE book = 'main' AND version = 30")
        raw.execute("UPDATE events SET version = 1000 WHERE book = 'main' AND version = 44")
        raw.execute("UPDATE books SET numeraire = 'XRP' WHERE book = 'main'")
    found = require_same(ledger).books[0].findings
    assert {23, 44} <= {finding.version for finding in found}
    assert (engine == "sqlite") == any(finding.version == 0 for finding in found)


@FORKED
@ON_A_FILE
@pytest.mark.parametrize("version", [15.5, "x"])
def test_a_version_that_is_no_whole_number_is_told_alike(ledger: str, version: object) -> None:
    """Between two ranges, and behind all of them."""
    with intruding(ledger) as raw:
        raw.execute("UPDATE events SET version = ? WHERE book = 'main' AND version = 44", [version])
    assert not require_same(ledger).ok


@FORKED
@ON_A_FILE
def test_a_damaged_file_is_told_alike_and_first(ledger: str) -> None:
    path = Path(ledger)
    content = bytearray(path.read_bytes())
    content[-3000:-1000] = b"\xff" * 2000
    path.write_bytes(content)
    said = []
    for processes in (1, 2):
        with pytest.raises(StorageError) as raised:
            checked(ledger, processes)
        said.append((raised.value.fault, raised.value.what, raised.value.actual))
    assert said[0] == said[1]
    assert said[0][0].value == "database_damaged"


@FORKED
@ON_A_FILE
def test_an_index_that_lacks_a_row_is_told_alike(ledger: str) -> None:
    with intruding(ledger) as raw:
        (sql,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'idx_events_tx_hash'")[0]
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("UPDATE sqlite_master SET sql = sql || ' AND version > 12' WHERE name = 'idx_events_tx_hash'")
        raw.execute("PRAGMA writable_schema = RESET")
        raw.execute("REINDEX idx_events_tx_hash")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'idx_events_tx_hash'", [sql])
        raw.execute("PRAGMA writable_schema = RESET")
    found = require_same(ledger)
    assert any("idx_events_tx_hash" in finding.detail for finding in found.findings)


# ---- workers that are lost


def tagged(count: int) -> Iterator[object]:
    """Fills with tags, which go through the pipe as rows, and fill it."""
    fill = {"side": "buy", "base_asset": "XRP", "base_amount": "10", "quote_asset": "RLUSD", "quote_amount": "13"}
    for index in range(count):
        yield event("fill", **fill, key=f"t:{index}", tags=[f"{number}" * 60 for number in range(10)])


@pytest.fixture
def long_ledger(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ranges_lane, "RANGE", 100)
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 200)
    with open_keeper(tmp_path, location=location) as keeper:
        keeper.append_all(BOOK, list(tagged(300)))  # type: ignore[arg-type]
    return location


def test_where_workers_are_killed_the_rest_is_read_here(long_ledger: str, forked: list[Worker]) -> None:
    """They still had much to say: a pipe holds 64 KiB."""
    with intruding(long_ledger) as raw:
        raw.execute("UPDATE events SET key = 'forged' WHERE version = 240")

    def kill(version: int) -> None:
        for worker in forked:
            worker._process.kill()
            worker._process.wait()

    alone = checked(long_ledger, 1)
    found = checked(long_ledger, 2, replace(WANTED, on_progress=kill))
    assert len(forked) == 3
    assert [finding.version for finding in found.books[0].findings] == [240]
    assert found.findings == alone.findings
    assert found.books[0].findings == alone.books[0].findings
    assert any("a worker process ended early" in note for note in found.books[0].notes)


@ON_A_FILE
@pytest.mark.parametrize("interpreter", ["/nowhere/python", "false"])
def test_where_no_worker_can_be_started_this_process_does_it_all(
    ledger: str, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    with intruding(ledger) as raw:
        raw.execute("UPDATE events SET key = 'forged' WHERE book = 'main' AND version = 16")
    alone = checked(ledger, 1)
    monkeypatch.setattr(sys, "executable", interpreter)
    found = checked(ledger, 2)
    assert [book.findings for book in found.books] == [book.findings for book in alone.books]
    assert [finding.version for finding in found.books[0].findings] == [16]
    assert "a worker process ended early" in found.books[0].notes[-1]


def test_a_worker_that_fails_is_lost_after_what_it_has_said() -> None:
    with working([Says("one", None, [b"two"])]) as (worker,):
        assert [worker.answer() for _ in range(3)] == ["one", None, [b"two"]]
        with pytest.raises(Lost, match="exit 1"):
            worker.answer()


class _Interrupted:
    """Work during whose handing over somebody presses Ctrl-C."""

    def __getstate__(self) -> object:
        raise KeyboardInterrupt

    def answers(self) -> Iterator[int]:
        yield 1


def test_an_interrupt_while_a_worker_is_given_its_work_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with pytest.raises(KeyboardInterrupt), working([_Interrupted()]):
        pass
    assert [process.returncode for process in started] == [-signal.SIGKILL]


@FORKED
def test_a_worker_ends_when_nobody_reads_on() -> None:
    with working([Says(*(b"x" * 2**16 for _ in range(9)))]) as (worker,):
        worker.answer()
    assert worker._process.returncode is not None


@pytest.mark.parametrize(
    ("events", "wanted", "expected"),
    [
        (ranges_lane.EVENTS_FOR_WORKERS, None, "cores"),
        (ranges_lane.EVENTS_FOR_WORKERS - 1, None, 1),
        (11, 3, 3),
        (7, 3, 2),
        (4, 3, 1),
        (10**9, 1, 1),
        (1, 3, 1),
        ("garbage", None, 1),
        (None, 3, 1),
    ],
)
def test_a_long_log_takes_all_cores_and_a_short_one_none(
    events: object, wanted: int | None, expected: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges_lane, "RANGE", 3)
    assert ranges_lane.workers_for(events, wanted) == (workers.cores() if expected == "cores" else expected)


@FORKED
def test_the_worker_for_the_whole_ledger_looks_at_ids(ledger: str) -> None:
    """What it has not looked at, or has found repeated, the log's rules look at again."""
    with intruding(ledger) as raw:
        raw.execute("UPDATE events SET event_id = 'x' WHERE book = 'main' AND version IN (29, 30)")
    with Database.open(ledger, "read") as database, database.reading() as connection:
        with whole_ledger.WholeLedger(connection, database.address, ["main", "other"]) as whole:
            assert [whole.has_unique_ids(name) for name in ("main", "other", "none")] == [False, True, False]
        with whole_ledger.WholeLedger(connection, None, []) as whole:
            assert not whole.has_unique_ids("other")


def test_a_moment_of_a_database_is_checked_in_one_process(ledger: str) -> None:
    """Another process cannot see it."""
    with Bookkeeper.open(ledger, "read", clock=TickingClock()) as keeper, keeper.database.at_one_moment() as moment:
        assert moment.address is None
        assert check_ledger(moment, None, replace(WANTED, processes=2)).ok
