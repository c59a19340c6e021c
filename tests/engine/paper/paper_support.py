"""What the tests of paper sessions share: tapes, strategies, a paper book, and a process that kills itself.

Run as a module it is that process: `python -m tests.engine.paper.paper_support LEDGER TAPE EVENTS`. It runs the session `s`
and sends itself SIGKILL when the log asks for the id of its event number EVENTS: in the middle of a transaction.
"""

from __future__ import annotations

import os
import signal
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import orjson

from engine.bookkeeper import Bookkeeper
from engine.paper.session import PaperRun, run_session
from engine.paper.strategy_config import Strategy
from tests.script_server import run_program
from tests.support import BOOK, ROOT, START, event, it_is, log_of, open_keeper

DATA = ROOT.parent / "shared" / "data" / "tape"
REAL_TAPE = DATA / "XRPUSDT_2023-01-01_2023-01-07.trades.csv.gz"
REAL_BOOK = DATA / "bybit_XRPUSDT_top_of_book_derived.csv"
SESSION = "s"
TAPE_START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
GIVE_UP_S = 60  # a child that hangs fails its test; no test depends on how long a child takes


def strategy(**settings: object) -> Strategy:
    """A strategy of size 15, limit 120, 10 bps of divergence, but for what `settings` say."""
    given = {"base_size_rlusd": "15", "max_rlusd_exposure": "120", "anchor_max_divergence_bps": "10"}
    return Strategy.model_validate(given | settings)


def wandering(rows: int, seed: int = 1) -> str:
    """A tape of trades around 1.33 that wanders, jumps now and then, and has rows of the same time and of no size."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    at, ticks = TAPE_START, 13_300
    lines = ["at,price,size"]
    for _ in range(rows):
        at += timedelta(seconds=random.randrange(0, 40))
        ticks += random.randrange(-9, 10) + (13_300 - ticks) // 40 + random.choice((0,) * 60 + (-40, 40))
        size = random.choice(("0", "0.0000004", "3.5", "250", "11.1234567"))
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{ticks // 10_000}.{ticks % 10_000:04},{size}")
    return "\n".join(lines) + "\n"


def trades(*rows: tuple[int, str, str]) -> str:
    """A tape of trades: seconds after its start, price, size."""
    lines = (
        f"{TAPE_START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ},{price},{size}" for seconds, price, size in rows
    )
    return "\n".join(["at,price,size", *lines]) + "\n"


def write_tape(folder: Path, text: str, name: str = "tape.csv") -> Path:
    """A tape in a file."""
    path = folder / name
    path.write_text(text)
    return path


def open_paper(
    folder: Path,
    *,
    rlusd: str | None = "85",
    xrp: str | None = "39.27",
    name: str = "ledger.db",
    location: str | None = None,
) -> Bookkeeper:
    """A Bookkeeper on a new paper book with deposits of these amounts; to be closed by the caller."""
    keeper = open_keeper(folder, name=name, location=location, mode="paper")
    it_is(keeper, START + timedelta(days=100))  # the tapes were recorded before
    at = "2026-01-05T08:00:00Z"
    if rlusd is not None:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount=rlusd, key="open:1", at=at))
    if xrp is not None:
        keeper.append(BOOK, event("deposit", asset="XRP", amount=xrp, price="1.3314", key="open:2", at=at))
    return keeper


def run_all(keeper: Bookkeeper, tape: Path, plan: Strategy | None = None, session: str = SESSION) -> PaperRun:
    """Run a session on the book `main` to the end of its tape."""
    return run_session(keeper, BOOK, tape, plan or strategy(), session)


def bodies(keeper: Bookkeeper, book: str = BOOK) -> list[dict[str, object]]:
    """The bodies of a book's events, without what differs from run to run: when they were recorded, and their ids."""
    return [_lasting(orjson.loads(stored.body)) for stored in log_of(keeper, book)]


def _lasting(body: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if name not in ("recorded_at", "event_id")}


def run_and_kill(ledger: Path, tape: Path, events: int) -> int:
    """Run the session in a process that kills itself at its event number `events`; its exit code."""
    program = (
        "import sys; from tests.engine.paper.paper_support import run_until_killed; run_until_killed(*sys.argv[1:])"
    )
    return run_program(program, ledger, tape, events).returncode


def run_until_killed(ledger: str, tape: str, events: str) -> None:
    """Run the session; at event number `events` this process kills itself."""
    left = int(events)

    def new_id() -> str:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return str(uuid.uuid4())

    with Bookkeeper.open(ledger, new_id=new_id) as keeper:
        run_all(keeper, Path(tape))
