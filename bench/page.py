"""`python -m bench.page`: the page over long logs: what it weighs, how long until its first tile, and memory.

`netbasis serve` is started on a ledger of fills with a mark and a deposit now and then, and asked at once, while it checks
and reads the log; and again when it has done so. The first tile is there when the overview has arrived whole: its style and
script are some kilobytes more, and nothing is loaded later. CPU is that of the server for one answer, whatever else the
machine does.

`--ledger` measures a file that is there (its book `main`), since ten times the events take ten times as long to append.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench.fills import fills
from bench.report import machine
from cli.page.rendering import STATIC, static
from engine.bookkeeper import Bookkeeper
from ledger.events import Opened, event_from

BOOK = "main"
SIZES = (1_000, 100_000)
ROUNDS = 5
MARK_EVERY, DEPOSIT_EVERY = 50, 10_000
_AT_ONCE = 1_000
# With a clock after the last fill: a million of them take six years, and what is ahead of the clock is not shown.
_COMMAND = (
    "import sys, datetime as d; from cli.main import run; "
    "sys.exit(run(sys.argv[1:], clock=lambda: d.datetime(2100, 1, 1, tzinfo=d.UTC)))"
)
_TICKS = os.sysconf("SC_CLK_TCK")
PATHS = {
    "overview": "/",
    "register, newest": "/register",
    "register, oldest": "/register?after=0",
    "register, in the middle": "/register?before={middle}",
    "register, a session": "/register?session=live-00000",
    "register, a search that finds nothing": "/register?q=nowhere",
    "an event": "/event?version={middle}",
    "basis": "/basis",
    "metrics": "/metrics",
}


def ledger_of(path: Path, count: int, seed: int) -> Path:
    """A new ledger of `count` events."""
    with Bookkeeper.open(str(path), "create") as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        given = _events(count - 1, seed)
        while some := [event_from(fields) for fields in islice(given, _AT_ONCE)]:
            keeper.append_all(BOOK, some)
    return path


def _events(count: int, seed: int) -> Iterator[dict[str, Any]]:
    for index, fields in enumerate(fills(count, seed)):
        if index % DEPOSIT_EVERY == 0:
            yield {"type": "deposit", "asset": "RLUSD", "amount": "1000", "key": f"d:{index}", "at": fields["at"]}
        elif index % MARK_EVERY == 1:
            price = f"1.33{index % 1000:03}"
            yield {"type": "mark", "asset": "XRP", "price": price, "key": f"m:{index}", "at": fields["at"]}
        else:
            yield fields


@contextmanager
def serving(ledger: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, and its port."""
    command = [sys.executable, "-c", _COMMAND, "--db", str(ledger), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline().split(";")[0].rstrip("/").rpartition(":")[2])
        try:
            yield child, port
        finally:
            child.send_signal(signal.SIGINT)


def seconds_of(port: int, path: str) -> tuple[float, int]:
    """How long an answer takes until it is whole, and its bytes."""
    began = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status)
    return time.perf_counter() - began, len(body)


def cpu_s(child: subprocess.Popen[str]) -> float:
    """The CPU that a process has used."""
    fields = Path(f"/proc/{child.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mib(child: subprocess.Popen[str]) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def lines_of(ledger: Path, rounds: int) -> Iterator[str]:
    """The figures of a ledger."""
    with Bookkeeper.open(str(ledger), "read") as keeper:
        count = keeper.view(BOOK).head.version
    yield f"{count:,} events"
    began = time.perf_counter()
    with serving(ledger) as (child, port):
        yield f"  {'from the command until it listens':40} {time.perf_counter() - began:9.2f} s  {cpu_s(child):9.2f} s CPU"
        first, weight = seconds_of(port, "/")
        yield f"  {'first tile, while it checks and reads':40} {first * 1000:9.0f} ms {'':14} {weight / 1024:7.1f} KiB"
        while not _is_checked(port):
            time.sleep(2)
        yield f"  {'until checked and read':40} {time.perf_counter() - began:9.1f} s  {cpu_s(child):9.1f} s CPU"
        for name, path in PATHS.items():
            yield f"  {name:40} {_answered(child, port, path.format(middle=count // 2), rounds)}"
        yield f"  {'peak memory':40} {peak_mib(child):9.0f} MiB"


def _answered(child: subprocess.Popen[str], port: int, path: str, rounds: int) -> str:
    before = cpu_s(child)
    found = [seconds_of(port, path) for _ in range(rounds)]
    cpu = (cpu_s(child) - before) / rounds
    seconds, weight = median(each for each, _ in found), found[0][1]
    return f"{seconds * 1000:9.0f} ms {cpu * 1000:10.0f} ms CPU {weight / 1024:7.1f} KiB"


def _is_checked(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request("GET", "/metrics")
        checked = b"netbasis_last_check_ok" in connection.getresponse().read()
        connection.request("GET", "/")
        return checked and b"Drawn up to version" not in connection.getresponse().read()


def _files() -> Iterator[str]:
    sizes = {name: len(static(name)) for name in STATIC}
    yield "kept by the browser: " + ", ".join(f"{name} {size / 1024:.1f} KiB" for name, size in sizes.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--events", type=int, nargs="+", default=SIZES, metavar="N", help="events (default %(default)s)"
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="a ledger that is there, instead")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to keep the ledgers")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print(", ".join(f"{name} {what}" for name, what in machine().items()))
    print("\n".join(_files()))
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        made = (ledger_of((options.keep or Path(folder)) / f"{n}.db", n, 1) for n in options.events)
        for ledger in [options.ledger] if options.ledger else made:
            for line in lines_of(ledger, options.rounds):
                print(line)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
