"""Many writers and readers of the same books, in processes that are killed; what they were told is judged from outside.

Each book is a list: every event is an append, every read returns the keys of one book or of both at one moment. A process
prints what it begins and what came of it, so of one that is killed it is known what it may have done. The histories
are judged by `torture.histories`: strict serialisability is what netbasis claims, per book and for transactions of several.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from sqlalchemy import select

from engine.bookkeeper import Bookkeeper
from ledger.database.tables import events
from ledger.errors import StorageError
from ledger.events import Opened
from tests.cli_support import clean_environment
from tests.engines import ENGINES, Engine, forget, new_ledger
from tests.restartable_postgres import RestartableServer, running_server
from tests.script_server import ForkedScript
from tests.support import event
from torture.figures import Figures
from torture.histories import Transaction, anomalies
from torture.servers import crash
from torture.servers import start as start_again

BOOKS = ("x", "y")
PROGRAM = "from torture.isolation import client; client()"


class _OnPurpose(Exception):
    """A transaction that is to fail."""


def prepare(location: str) -> None:
    """Open the books of a new ledger."""
    with Bookkeeper.open(location, "write") as keeper:
        for name in BOOKS:
            keeper.open_book(name, Opened(mode="live"))


# ---- a client


def client() -> None:
    """Run transactions until the time is over, telling each before it begins and after it has ended."""
    location, name, seed, seconds = sys.argv[1:]
    dice = Random(seed)  # noqa: S311
    until = time.monotonic() + float(seconds)
    number = 0
    while time.monotonic() < until:
        # A server that is down while it is opened is tried again, and so is one that goes in the middle.
        with suppress(StorageError), Bookkeeper.open(location) as keeper:
            while time.monotonic() < until:
                number += 1
                _one(keeper, name, number, dice)


def _one(keeper: Bookkeeper, name: str, number: int, dice: Random) -> None:
    what = dice.choice(("append", "batch", "both", "fail", "read", "read", "read both"))
    values = {
        book: [f"{name}:{number}:{book}"] for book in (BOOKS if what in ("both", "fail") else [dice.choice(BOOKS)])
    }
    if what == "batch":
        values = {book: [*of, *(f"{value}:2" for value in of)] for book, of in values.items()}
    wanted = list(BOOKS if what == "read both" else values) if what.startswith("read") else []
    appends = {} if wanted else values
    _say({"process": name, "number": number, "began": time.monotonic(), "appends": appends})
    outcome, reads = "ok", {}
    try:
        reads = _read(keeper, wanted) if wanted else _append(keeper, appends, fails=what == "fail")
    except _OnPurpose:
        outcome = "failed"
    except StorageError as error:
        outcome = "unknown" if error.outcome_is_unknown else "failed"
    _say({"number": number, "ended": time.monotonic(), "outcome": outcome, "reads": reads})


def _append(keeper: Bookkeeper, appends: dict[str, list[str]], *, fails: bool) -> dict[str, list[str]]:
    with keeper.transactions(*appends) as transactions:
        for (_, values), transaction in zip(appends.items(), transactions, strict=True):
            for value in values:
                transaction.append(event("deposit", asset="RLUSD", amount="1", key=value))
        if fails:
            raise _OnPurpose
    return {}


def _read(keeper: Bookkeeper, books: Sequence[str]) -> dict[str, list[str]]:
    with keeper.database.reading() as connection:
        return {
            book: list(
                connection.scalars(
                    select(events.c.key).where(events.c.book == book, events.c.version > 1).order_by(events.c.version)
                )
            )
            for book in books
        }


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


# ---- around the clients


def recorded(
    location: str,
    folder: Path,
    dice: Random,
    *,
    clients: int,
    seconds: float,
    kills: int = 0,
    server: RestartableServer | None = None,
) -> tuple[list[Transaction], int]:
    """Run clients at once, kill some (others take their place) and the server; the history, and how many were killed."""
    heard: dict[str, list[bytes]] = {}
    killed = 0
    with ExitStack() as stack:
        running: list[tuple[ForkedScript, Thread]] = []

        def start(name: str, left: float) -> None:
            words = [location, name, str(dice.randrange(1 << 30)), str(left)]
            child = stack.enter_context(ForkedScript(words, cwd=folder, env=clean_environment(folder), program=PROGRAM))
            heard[name] = []
            reader = Thread(target=_hear, args=(child, heard[name]))
            reader.start()
            running.append((child, reader))

        for number in range(clients):
            start(f"c{number}", seconds)
        began = time.monotonic()
        for number in range(kills):
            time.sleep(max(0.0, dice.uniform(0, seconds / (kills + 1))))
            victim, _ = dice.choice(running)
            victim.kill()
            killed += 1
            start(f"k{number}", max(0.1, began + seconds - time.monotonic()))
        if server is not None:
            crash(server, dice)
            start_again(server)
        for child, reader in running:
            code = child.wait()
            reader.join()
            assert child.stderr is not None
            assert code in (0, -signal.SIGKILL), child.stderr.read().decode()
    return [transaction for lines in heard.values() for transaction in _transactions(lines)], killed


def _hear(child: ForkedScript, heard: list[bytes]) -> None:
    assert child.stdout is not None
    heard.extend(child.stdout.read().splitlines(keepends=True))


def _transactions(lines: Sequence[bytes]) -> Iterator[Transaction]:
    begun: dict[int, dict[str, Any]] = {}
    for line in lines:
        if not line.endswith(b"\n"):
            continue
        said = json.loads(line)
        if "began" in said:
            begun[said["number"]] = said
            continue
        start = begun.pop(said["number"])
        yield Transaction(
            start["process"], start["began"], said["ended"], start["appends"], said["reads"], said["outcome"]
        )
    for start in begun.values():  # it was killed in the middle
        yield Transaction(start["process"], start["began"], float("inf"), start["appends"], {}, "unknown")


def final_read(location: str) -> Transaction:
    """What stands there at the end."""
    began = time.monotonic()
    with Bookkeeper.open(location, "read") as keeper:
        reads = _read(keeper, BOOKS)
    return Transaction("final", began, time.monotonic(), {}, reads)


def run(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    """Histories on both engines, with killed clients and crashed servers, until the time is over."""
    with running_server() as server:
        number = 0
        while time.monotonic() < until or number < 2:
            number += 1
            engine: Engine = ENGINES[number % 2]
            location = (
                server.new_ledger(f"h{number}", book=None)
                if engine == "postgres"
                else new_ledger(engine, folder, f"{number}.db")
            )
            prepare(location)
            its_server = server if engine == "postgres" and number % 4 == 1 else None
            history, killed = recorded(location, folder, dice, clients=6, seconds=4, kills=2, server=its_server)
            history.append(final_read(location))
            figures.count["killed: the server of a history"] += its_server is not None
            figures.count[f"killed: clients of a history on {engine}"] += killed
            figures.count[f"histories on {engine}"] += 1
            figures.count[f"transactions judged on {engine}"] += len(history)
            figures.broken += [
                f"history {number} on {engine}: {found.name}: {found.what}" for found in anomalies(history)[:5]
            ]
            if engine == "sqlite":
                forget(location)
