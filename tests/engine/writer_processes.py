"""Writers and readers as processes of their own; what they are told and say goes through a pipe.

They are forked from a small server that has imported what they need and opened nothing: an import takes longer than a test.

A program below says `ready` when its ledger is open and waits for a word, so that all of them start at one moment.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple, TypeAlias

from cli.main import exit_code
from engine import projection_store
from engine.bookkeeper import Bookkeeper, utc_now
from engine.projection_store import stored_state
from ledger import store
from ledger.appender import Outcome
from ledger.errors import StorageError
from ledger.events import Event, Opened
from projections import rows
from projections.state import EMPTY, fold
from tests.support import BOOK, event, is_stopped

GIVE_UP_S = 60  # a process that hangs fails the test; nothing depends on how long one takes
SHARED_EVERY = 25
MEET_EVERY = 5

Pipe: TypeAlias = "Connection[Any, Any]"
Program = Callable[..., None]


class Acknowledged(NamedTuple):
    """What a writer was told of one append."""

    writer: str
    key: str
    version: int
    hash: bytes
    existed: bool


class GaveUp(NamedTuple):
    """The error that a writer was given in place of an answer, and the exit code that a command would end with."""

    code: str
    advice: str | None
    exit_code: int


class Seen(NamedTuple):
    """What a reader saw in one transaction: the head and the projections, before and after it read the log."""

    heads: tuple[int, int]
    versions: list[int]
    last_hash: bytes
    projections_are_of_the_log: tuple[bool, bool]


class Process:
    """A started process and this side of its pipe."""

    def __init__(self, process: BaseProcess, pipe: Pipe) -> None:
        self.process = process
        self.pipe = pipe

    def hear(self) -> Any:
        """The next that it says. Raises EOFError when it has ended, AssertionError when it hangs."""
        assert self.pipe.poll(GIVE_UP_S), "the process says nothing"
        return self.pipe.recv()

    def tell(self, word: str) -> None:
        """A word that it waits for."""
        self.pipe.send(word)

    def kill(self) -> None:
        """End it where it stands; it has ended when this returns."""
        self.process.kill()
        assert self.join() == -signal.SIGKILL

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It stands still for as long as the context is open."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        while not is_stopped(self.process.pid):
            assert self.process.is_alive()
        yield
        os.kill(self.process.pid, signal.SIGCONT)

    def join(self) -> int | None:
        """Its exit code, once it has ended."""
        self.process.join(GIVE_UP_S)
        return self.process.exitcode


def _forked() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def meeting_of(count: int) -> Barrier:
    """Where so many writers wait for one another."""
    return _forked().Barrier(count, timeout=GIVE_UP_S)


@contextmanager
def started(program: Program, *arguments: object) -> Iterator[Process]:
    """A process that runs the program; killed at the end, if it has not ended by itself."""
    context = _forked()
    ours, theirs = context.Pipe()
    process = context.Process(target=program, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield Process(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


@contextmanager
def all_started(program: Program, *of_each: tuple[object, ...]) -> Iterator[list[Process]]:
    """A process for each tuple of arguments, every one of them ready."""
    with ExitStack() as stack:
        children = [stack.enter_context(started(program, *arguments)) for arguments in of_each]
        for child in children:
            assert child.hear() == "ready"
        yield children


def tell_all(children: list[Process], word: str) -> None:
    """The same word to all, as nearly at once as one can."""
    for child in children:
        child.tell(word)


def acknowledgements(children: list[Process]) -> Iterator[Acknowledged]:
    """What writers were told, as it comes in, until every pipe is closed: no writer has to wait for this side to read."""
    open_pipes = [child.pipe for child in children]
    while open_pipes:
        heard = wait(open_pipes, GIVE_UP_S)
        assert heard, "the writers say nothing"
        for pipe in heard:
            assert isinstance(pipe, Connection)
            try:
                yield pipe.recv()
            except EOFError:
                open_pipes.remove(pipe)


# The programs


def append_many(
    pipe: Pipe,
    location: str,
    book: str,
    writer: str,
    count: int,
    clock_lag_s: float = 0.0,
    meeting: Barrier | None = None,
) -> None:
    """Append `count` events of one's own, each in its own transaction, and between them fills that all writers send.

    With a meeting, the writers wait for one another before every few: a scheduler may run one to its end before the next.
    """

    def clock() -> datetime:
        return utc_now() - timedelta(seconds=clock_lag_s)

    with Bookkeeper.open(location, clock=clock) as keeper:
        _ready(pipe)
        for number in range(count):
            if meeting is not None and number % MEET_EVERY == 0:
                meeting.wait()
            if number % SHARED_EVERY == 0:
                pipe.send(_told(writer, keeper.append(book, shared_fill(number // SHARED_EVERY))))
            pipe.send(_told(writer, keeper.append(book, own_event(writer, number))))


def append_when_told(pipe: Pipe, location: str, writer: str, count: int) -> None:
    """Append `count` events each time one is told to, and say `done`."""
    with Bookkeeper.open(location) as keeper:
        pipe.send("ready")
        for number, _ in enumerate(iter(pipe.recv, "end")):
            for index in range(count):
                keeper.append(BOOK, own_event(writer, number * count + index))
            pipe.send("done")


def begin_ledger(pipe: Pipe, location: str) -> None:
    """Make the ledger if nobody has, then open its book if nobody has."""
    _ready(pipe)
    with Bookkeeper.open(location, "create") as keeper:
        pipe.send("made")
        pipe.recv()
        outcome = keeper.open_book(BOOK, Opened(mode="live"))
        pipe.send(_told("", outcome))


def hold(pipe: Pipe, location: str, writer: str) -> None:
    """Append two events in one transaction, say `holds` before its commit, and commit when told to."""
    with Bookkeeper.open(location) as keeper:
        _ready(pipe)
        with keeper.transaction(BOOK) as transaction:
            outcomes = [transaction.append(own_event(writer, number)) for number in range(2)]
            pipe.send("holds")
            pipe.recv()
        for outcome in outcomes:
            pipe.send(_told(writer, outcome))


def append_one(pipe: Pipe, location: str, writer: str, busy_timeout_s: float) -> None:
    """Append one event; on SQLite, say `waits` when a second has passed without the lock."""
    with Bookkeeper.open(location, busy_timeout_s=busy_timeout_s, on_wait=lambda: pipe.send("waits")) as keeper:
        _ready(pipe)
        try:
            pipe.send(_told(writer, keeper.append(BOOK, own_event(writer, 0))))
        except StorageError as error:
            pipe.send(GaveUp(error.code, error.advice, exit_code(error)))


def read_long(pipe: Pipe, location: str, rows_at_once: int) -> None:
    """Read the book in one transaction, and stop in the middle of its log until told to go on."""
    store.ROWS_AT_ONCE = rows_at_once
    with Bookkeeper.open(location, "read") as keeper:
        _ready(pipe)
        with keeper.database.reading() as connection:
            book, head = store.require_book(connection, BOOK)
            state = stored_state(projection_store.load_rows(connection, BOOK), book, head)
            events = store.read_events(connection, BOOK)
            log = [next(events)]
            pipe.send("holds")
            pipe.recv()
            log += events
            _, head_after = store.require_book(connection, BOOK)
            rows_after = projection_store.load_rows(connection, BOOK)
        of_log = fold(log, EMPTY)
        same = (state == of_log, rows.state_of(rows_after, book) == of_log)
        pipe.send(Seen((head.version, head_after.version), [stored.version for stored in log], log[-1].hash, same))


def _ready(pipe: Pipe) -> None:
    pipe.send("ready")
    pipe.recv()


def _told(writer: str, outcome: Outcome) -> Acknowledged:
    stored = outcome.stored
    return Acknowledged(writer, stored.key, stored.version, stored.hash, outcome.existed)


def own_event(writer: str, number: int) -> Event:
    """An event that no other writer sends; they move every projection."""
    fields: list[dict[str, object]] = [
        {"type": "fill", "side": "buy", "base_amount": f"{number + 1}.5", "quote_amount": "13.30"},
        {"type": "deposit", "asset": "RLUSD", "amount": f"{number + 1}"},
        {"type": "mark", "asset": "XRP", "price": f"1.{number + 1}"},
        {
            "type": "fill",
            "side": "sell",
            "base_amount": "1",
            "quote_amount": "2",
            "fee_asset": "XRP",
            "fee_amount": "0.01",
        },
    ]
    given = fields[number % len(fields)]
    if given["type"] == "fill":
        given |= {"base_asset": "XRP", "quote_asset": "RLUSD"}
    return event(str(given.pop("type")), **given, key=f"{writer}:{number}")


def shared_fill(number: int) -> Event:
    """A fill that every bot hears of and sends."""
    amounts = {"base_amount": "3", "quote_amount": f"4.{number + 1}"}
    return event("fill", side="buy", base_asset="XRP", quote_asset="RLUSD", **amounts, key=f"shared:{number}")
