"""SIGKILL at random moments in every command that writes; afterwards all that was acknowledged is there.

After each kill, without any repair: every acknowledged event is in the log, a command that is one transaction has written
all or nothing, `check` finds nothing, and the same command, run again, ends well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Thread

from cli.registry import COMMANDS
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check_ledger
from engine.proof.request import CheckRequest
from ledger import store
from ledger.database.connections import Database
from tests.cli_support import Cli, clean_environment, deposit, ndjson
from tests.engines import Engine, forget, intruding, new_ledger
from tests.migrations.test_old_ledgers import old_ledger
from tests.script_server import ForkedScript
from tests.support import BOOK, ROOT, event
from torture.figures import Figures

Acknowledged = set[str]
EVENTS = 200  # of a file, a copy, a rebuild


@dataclass
class Trial:
    """One ledger that a command is killed at.

    cli:       the ledger and its folder
    words:     the command line after `--db …`
    stdin:     what it is given
    location:  of the ledger that the command writes, to be checked
    whole:     the versions at which the book may stand afterwards; None for any
    """

    cli: Cli
    words: list[str]
    location: str
    stdin: bytes = b""
    whole: set[int] | None = None


class Broken(AssertionError):
    """Something that was acknowledged is gone, or does not hold."""


def _new(folder: Path, engine: Engine, events: int = 0) -> Cli:
    cli = Cli(folder, engine)
    if events:
        with Bookkeeper.open(cli.location) as keeper:
            keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="1", key=f"s:{n}") for n in range(events)])
    return cli


def _append(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine)
    return Trial(
        cli, ["append", "deposit", "--asset", "RLUSD", "--amount", "1", "--key", "k"], cli.location, whole={1, 2}
    )


def _stream(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine)
    lines = ndjson([deposit(f"k:{number}") for number in range(EVENTS)])
    return Trial(cli, ["append", "--file", "-", "--batch", "1", "-O", "json"], cli.location, lines)


def _batches(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine)
    lines = ndjson([deposit(f"k:{number}") for number in range(EVENTS)])
    whole = {1 + 20 * number for number in range(EVENTS // 20 + 1)}
    return Trial(cli, ["append", "--file", "-", "--batch", "20", "-O", "json"], cli.location, lines, whole)


def _file(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine)
    name = cli.write("events.ndjson", ndjson([deposit(f"k:{number}") for number in range(EVENTS)]))
    return Trial(cli, ["append", "--file", name], cli.location, whole={1, 1 + EVENTS})


def _inject(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine)
    return Trial(cli, ["inject", "50", "--key", "k"], cli.location, whole={1, 2})


def _withdraw(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, 3)
    return Trial(cli, ["withdraw", "2", "--key", "k"], cli.location, whole={4, 5})


def _transfer(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, 3)
    assert cli.here("init", target=("--db", cli.location, "--book", "vault")).code == 0
    return Trial(cli, ["--book", BOOK, "transfer", "2", "--to", "vault", "--key", "k"], cli.location, whole={4, 5})


def _rebuild(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, EVENTS)
    with intruding(cli.location) as raw:
        raw.execute("UPDATE engine_state SET value = '7'")
    return Trial(cli, ["rebuild"], cli.location)


def _seal(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, EVENTS)
    return Trial(cli, ["seal", "--events", "20", "--to", str(folder / "segments")], cli.location)


def _copy(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, EVENTS)
    target = new_ledger(engine, folder, "target.db")
    return Trial(cli, ["copy", "--to", target], target)


def _import(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine)
    name = cli.write("rows.json", (ROOT / "examples" / "trades_and_movements.json").read_bytes())
    return Trial(cli, ["import", "ccxt", name, "--pass"], cli.location)


def _migration(folder: Path, engine: Engine) -> Trial:
    cli = Cli(folder, engine, empty=True)
    forget(cli.location)
    cli.location = old_ledger("0001", engine, folder)
    cli.db = Path(cli.location)
    return Trial(cli, ["db", "upgrade"], cli.location)


def _backup(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, EVENTS)
    return Trial(cli, ["backup", "made.db"], cli.location)


def _restore(folder: Path, engine: Engine) -> Trial:
    cli = _new(folder, engine, 5)
    assert cli.here("backup", str(folder / "made.db")).code == 0
    return Trial(cli, ["restore", "made.db"], cli.location)


SCENARIOS: dict[str, Callable[[Path, Engine], Trial]] = {
    "append": _append,
    "stream": _stream,
    "batches": _batches,
    "file": _file,
    "inject": _inject,
    "withdraw": _withdraw,
    "transfer": _transfer,
    "rebuild": _rebuild,
    "seal": _seal,
    "copy": _copy,
    "import": _import,
    "migration": _migration,
    "backup": _backup,
    "restore": _restore,
}
_UNKILLED = 2  # so many runs of a command show how long it takes
_ENDS_WITH_1 = {"import"}  # something waits in the inbox


def scenarios() -> Iterator[str]:
    """The names of those whose command there is."""
    for name in SCENARIOS:
        if name != "seal" or "seal" in COMMANDS:
            yield name


@dataclass
class Killer:
    """Kills a scenario's command at random moments of its run.

    typical_s:  how long the command takes when nobody kills it, by name; measured at its first runs
    """

    dice: Random
    folder: Path
    engine: Engine

    def __post_init__(self) -> None:
        self.typical_s: dict[str, float] = {}
        self._unkilled: dict[str, int] = {}
        self._count = 0

    def expect_s(self, seconds: float) -> None:
        """Take so long for the typical run of every command, instead of measuring."""
        for name in SCENARIOS:
            self.typical_s[name], self._unkilled[name] = seconds, _UNKILLED

    def once(self, name: str) -> bool:
        """One trial; whether the command was killed before it had ended. Raises Broken."""
        self._count += 1
        folder = self.folder / f"{name}-{self._count}"
        folder.mkdir()
        trial = SCENARIOS[name](folder, self.engine)
        runs = self._unkilled.get(name, 0)
        first = runs < _UNKILLED
        delay = None if first else self.dice.uniform(0, self.typical_s[name])
        started = time.monotonic()
        code, answers = _killed_after(trial, delay)
        if first:
            self._unkilled[name] = runs + 1
            self.typical_s[name] = min(time.monotonic() - started, self.typical_s.get(name, 60))
            if code not in (0, 1 if name in _ENDS_WITH_1 else 0):
                raise Broken(f"{name}: the command itself ends with {code}: {answers[-500:]!r}")
        try:
            verify(name, trial, code, answers)
        except AssertionError as error:
            raise Broken(f"{name}, killed after {delay} s in {folder}: {error}") from error
        for location in {trial.location, trial.cli.location}:
            forget(location)
        shutil.rmtree(folder)
        return code == -signal.SIGKILL


def _killed_after(trial: Trial, delay: float | None) -> tuple[int, bytes]:
    """Run the command and kill it after some seconds (None: not at all); its exit code and what it had answered by then."""
    words = ["--db", trial.cli.location, *trial.words]
    heard: list[bytes] = []
    with ForkedScript(words, cwd=trial.cli.folder, env=clean_environment(trial.cli.folder)) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stderr is not None
        readers = [Thread(target=_hear, args=(heard, child.stdout)), Thread(target=child.stderr.read)]
        for reader in readers:
            reader.start()
        writer = Thread(target=_feed, args=(child.stdin, trial.stdin))
        writer.start()
        if delay is not None:
            time.sleep(delay)
            child.kill()
        code = child.wait()
        for thread in (*readers, writer):
            thread.join()
    return code, b"".join(heard)


def _hear(heard: list[bytes], stream: object) -> None:
    while part := os.read(stream.fileno(), 1 << 16):  # type: ignore[attr-defined] # a pipe
        heard.append(part)


def _feed(stream: object, given: bytes) -> None:
    with suppress(OSError, ValueError):
        stream.write(given)  # type: ignore[attr-defined] # a pipe
        stream.close()  # type: ignore[attr-defined]


def run(killer: Killer, figures: Figures, until: float, only: Sequence[str] = ()) -> None:
    """Kill each command in turn until the time (of `time.monotonic`) is over."""
    names = [name for name in scenarios() if not only or name in only]
    while time.monotonic() < until:
        for name in names:
            try:
                was_killed = killer.once(name)
            except Broken as error:
                figures.broken.append(str(error))
                continue
            figures.count[f"killed: {name} on {killer.engine}" if was_killed else "ended before the kill"] += 1
            if time.monotonic() > until:
                break


# ---- what must hold


def verify(name: str, trial: Trial, code: int, answers: bytes) -> None:
    """Raises AssertionError unless everything acknowledged is there, all holds, and the command can be run again."""
    head = _head(trial.location) if name != "migration" else None
    if trial.whole is not None:
        assert head in trial.whole, f"the book stands at {head}, half of a transaction"
        done = max(trial.whole)
        assert code != 0 or head == done, f"exit 0, but the book stands at {head}"
    if name in ("stream", "batches"):
        _require_answered(trial, answers)
    if name == "migration":
        assert trial.cli.here("db", "upgrade", target=("--db", trial.location)).code == 0
    require_sound(trial.location, but="projections_match" if name == "rebuild" else None)
    _run_again(name, trial)
    require_sound(trial.location)


def _require_answered(trial: Trial, answers: bytes) -> None:
    whole_lines = answers.split(b"\n")[:-1]
    told = [json.loads(line) for line in whole_lines]
    if not told:
        return
    with Database.open(trial.location, "read") as database, database.reading() as connection:
        last = store.find_event(connection, BOOK, told[-1]["version"])
    assert last is not None, f"version {told[-1]['version']} was acknowledged"
    assert last.hash.hex() == told[-1]["head"], "another event stands where one was acknowledged"


def _run_again(name: str, trial: Trial) -> None:
    """The same command, without repair. What it did before it was killed it finds done."""
    cli = trial.cli
    if name == "backup" and (cli.folder / "made.db").exists():
        require_sound(str(cli.folder / "made.db"))  # a file of that name is a whole one
        (cli.folder / "made.db").unlink()
    ran = cli.run(*trial.words, stdin=trial.stdin, target=("--db", cli.location))
    assert ran.code in (0, 1 if name in _ENDS_WITH_1 else 0), f"run again: {ran}"
    if trial.whole is not None:
        assert _head(trial.location) == max(trial.whole)
    if name == "copy":
        assert _head(trial.location) == _head(cli.location)
    cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "1", target=("--db", cli.location, "--book", BOOK))


def require_sound(location: str, but: str | None = None) -> None:
    """Raises AssertionError for what `check` finds. `but`: an invariant that need not hold."""
    with Database.open(location, "read") as database:
        with database.reading() as connection:
            if not store.book_names(connection):
                return
        checked = check_ledger(database, None, CheckRequest())
    found = [*checked.findings, *(finding for book in checked.books for finding in book.findings)]
    assert all(finding.invariant == but for finding in found), found


def _head(location: str) -> int:
    with Bookkeeper.open(location, "read") as keeper, keeper.database.reading() as connection:
        there = store.find_book(connection, BOOK)
    return 0 if there is None else there[1].version
