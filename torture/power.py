"""Power loss, a full disk and a failing one under SQLite: what was acknowledged is there, or nothing was.

A ledger is written on a disk that remembers (`torture.disk`). Of what it remembers, every moment is one at which the power
may have gone: the files as they may be then are opened by the real program. With `synchronous` off the same must lose
something, or the disk would prove nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import apsw

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.errors import StorageError
from ledger.events import Opened
from tests.support import BOOK, event, ledger_file
from torture.disk import Disk, Operation, after_power_loss, in_use
from torture.figures import Figures

LEDGER = "ledger.db"


def opened_ledger(folder: Path) -> Path:
    """A ledger of two events in one file, as a desk's is in the evening."""
    path = ledger_file(folder)
    with Bookkeeper.open(str(path)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1000"))
    return path


def work(keeper: Bookkeeper, disk: Disk) -> Iterator[None]:
    """What a desk does in a day, in small; after each step that has returned, the disk remembers what was acknowledged."""
    for number in range(6):
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1", key=f"one:{number}"))
        acknowledged(keeper, disk)
        yield
    many = [event("deposit", asset="RLUSD", amount="1", key=f"many:{number}") for number in range(120)]
    keeper.append_all(BOOK, many)
    acknowledged(keeper, disk)
    yield
    inject(keeper, BOOK, Movement("5", key="in"))
    acknowledged(keeper, disk)
    yield
    rebuild(keeper.database, BOOK)
    keeper.append_all(BOOK, [event("mark", asset="XRP", price="1.5", key="mark")])
    acknowledged(keeper, disk)
    yield


def acknowledged(keeper: Bookkeeper, disk: Disk) -> None:
    """Remember that the caller was told so far: the version and hash of the head that the last commit answered."""
    commit = keeper.commits.last[0]
    disk.log.append(Operation("ack", "", commit.version))


def recorded(folder: Path, synchronous: str) -> tuple[Disk, dict[str, bytes]]:
    """A day's work on a disk that remembers; and the files before it."""
    path = opened_ledger(folder)
    start = {path.name: path.read_bytes()}
    disk = Disk()
    with in_use(disk, synchronous=synchronous), Bookkeeper.open(str(path)) as keeper:
        for _ in work(keeper, disk):
            pass
    return disk, start


def lost(files: dict[str, bytes], folder: Path, told: int) -> str | None:
    """What is wrong with the ledger that stands in these files, of which so much was acknowledged; None for nothing."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        return _wrong(folder / LEDGER, told)
    finally:
        shutil.rmtree(folder)


def _wrong(path: Path, told: int) -> str | None:
    try:
        with Bookkeeper.open(str(path)) as keeper:
            checked = check(keeper.database, BOOK)
            if not checked.ok:
                return f"check: {checked.findings[0].detail}"
            if checked.head.version < told:
                return f"version {told} was acknowledged, the log ends at {checked.head.version}"
            keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1", key="after"))
            return None if check(keeper.database, BOOK).ok else "the next append leaves it unsound"
    except StorageError as error:
        return str(error)


def power_losses(
    dice: Random, folder: Path, until: float, figures: Figures, synchronous: str = "FULL", least: int = 1
) -> int:
    """Let the power go at random moments until the time is over, at least so many times; how often something was lost."""
    place = folder / f"day-{synchronous}"
    place.mkdir()
    disk, start = recorded(place, synchronous)
    count = losses = 0
    while time.monotonic() < until or count < least:
        cut = dice.randrange(1, len(disk.log) + 1)
        told = max((operation.offset for operation in disk.log[:cut] if operation.kind == "ack"), default=2)
        files = after_power_loss(disk.log[:cut], start, dice)
        count += 1
        wrong = lost(files, folder / "after", told)
        if wrong is None:
            continue
        losses += 1
        if synchronous == "FULL":
            figures.broken.append(f"power lost after operation {cut} of {len(disk.log)}: {wrong}")
    figures.count[f"power lost, synchronous {synchronous}"] += count
    figures.count[f"power lost, synchronous {synchronous}: something gone"] += losses
    return losses


# ---- a disk that fails


def _raise(kind: type[apsw.Error], code: int) -> Callable[[], None]:
    def fail() -> None:
        error = kind("the disk fails, as it was told to")
        error.extendedresult = code  # type: ignore[attr-defined] # what apsw looks for
        raise error

    return fail


FAULTS: dict[str, tuple[str, Callable[[], None]]] = {
    "write fails": ("write", _raise(apsw.IOError, apsw.SQLITE_IOERR_WRITE)),
    "sync fails": ("sync", _raise(apsw.IOError, apsw.SQLITE_IOERR_FSYNC)),
    "disk is full": ("write", _raise(apsw.FullError, apsw.SQLITE_FULL)),
    "file is read-only": ("write", _raise(apsw.ReadOnlyError, apsw.SQLITE_READONLY)),
    "truncation fails": ("truncate", _raise(apsw.IOError, apsw.SQLITE_IOERR_TRUNCATE)),
}


@contextmanager
def failing(disk: Disk, of: str, raises: Callable[[], None], after: int, *, for_ever: bool) -> Iterator[None]:
    """The disk's operations of a kind fail: from the one after so many on, or only that one."""
    seen = 0

    def fault(operation: Operation) -> None:
        nonlocal seen
        if operation.kind == of:
            seen += 1
            if seen == after or (for_ever and seen > after):
                raises()

    disk.fault = fault
    yield
    disk.fault = None


def fault_at(folder: Path, name: str, after: int, *, for_ever: bool) -> tuple[str | None, bool]:
    """A day's work on a disk that fails at some moment; what is wrong afterwards, and whether the fault came at all."""
    path = opened_ledger(folder)
    disk = Disk()
    of, raises = FAULTS[name]
    told, came = 2, False
    try:
        with in_use(disk), failing(disk, of, raises, after, for_ever=for_ever), Bookkeeper.open(str(path)) as keeper:
            for _ in work(keeper, disk):
                told = disk.log[-1].offset
    except StorageError as error:
        came = True
        if error.outcome_is_unknown:
            return f"{name}: the outcome is said to be unknown: {error}", came
    # Another process opens what stands there, once the disk is well again.
    return _wrong(path, told), came


def faults(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    """Every n-th operation fails, each n in turn, in an order of chance, until the time is over."""
    turns = [(name, after, for_ever) for name in FAULTS for after in range(1, 90) for for_ever in (False, True)]
    dice.shuffle(turns)
    for name, after, for_ever in turns:
        if time.monotonic() > until:
            return
        place = folder / "failing"
        place.mkdir()
        wrong, came = fault_at(place, name, after, for_ever=for_ever)
        shutil.rmtree(place)
        figures.count[f"{name}" if came else "fault that did not come"] += 1
        if wrong is not None:
            figures.broken.append(f"{name} at {after}{' and later' if for_ever else ''}: {wrong}")
