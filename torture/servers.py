"""A PostgreSQL server that crashes while a bot's events stream into it: every answered event is there when it is back."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Thread

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger import store
from tests.cli_support import clean_environment, deposit, ndjson
from tests.restartable_postgres import RestartableServer, running_server
from tests.script_server import ForkedScript
from tests.support import BOOK
from torture.figures import Figures

LINES = 300
_ATTEMPTS = 10


def crash(server: RestartableServer, dice: Random) -> str:
    """End the server without order; says how."""
    how = dice.choice(("immediate", "SIGKILL"))
    if how == "immediate":
        server.stop("immediate")
        return how
    pid = int((server.folder / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + 30
    while _others_left(server.folder) and time.monotonic() < give_up:  # its children notice, and end
        time.sleep(0.05)
    (server.folder / "postmaster.pid").unlink(missing_ok=True)
    return how


def _others_left(folder: Path) -> bool:
    """Whether a process of the server is still there: each has its folder as the current one."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder:
                return True
    return False


def start(server: RestartableServer) -> None:
    """Start a server that has crashed; one that finds the last one's memory still in use is started again."""
    for attempt in range(_ATTEMPTS):
        try:
            server.start()
            return
        except AssertionError as error:
            said = (server.folder / "log").read_text("utf-8", "replace")[-1500:]
            if attempt == _ATTEMPTS - 1:
                raise AssertionError(f"{error}: {said}") from error
            time.sleep(1)


def once(server: RestartableServer, location: str, run: int, dice: Random) -> tuple[str, str | None]:
    """Stream events, crash the server meanwhile, bring it back; how it was crashed, and what is wrong afterwards."""
    lines = ndjson([deposit(f"{run}:{number}") for number in range(LINES)])
    words = ["--db", location, "--book", BOOK, "append", "--file", "-", "--batch", "1", "-O", "json"]
    heard: list[bytes] = []
    with ForkedScript(words, cwd=server.folder, env=clean_environment(server.folder)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        readers = [Thread(target=lambda: heard.append(child.stdout.read())), Thread(target=child.stderr.read)]  # type: ignore[union-attr]
        for reader in readers:
            reader.start()
        child.stdin.write(lines)
        child.stdin.close()
        time.sleep(dice.uniform(0.05, 0.8))
        how = crash(server, dice)
        time.sleep(dice.uniform(0, 0.5))
        start(server)
        child.wait()
        for reader in readers:
            reader.join()
    return how, _wrong(location, b"".join(heard), lines, server.folder)


def _wrong(location: str, answers: bytes, lines: bytes, folder: Path) -> str | None:
    told = [json.loads(line) for line in answers.split(b"\n")[:-1]]
    told = [answer for answer in told if "version" in answer]
    with Bookkeeper.open(location) as keeper:
        with keeper.database.reading() as connection:
            for answer in told:
                stored = store.find_event(connection, BOOK, answer["version"])
                if stored is None or stored.hash.hex() != answer["head"]:
                    return f"version {answer['version']} was acknowledged and is not there"
        checked = check(keeper.database, BOOK)
        if not checked.ok:
            return f"check: {checked.findings[0].detail}"
    words = ["--db", location, "--book", BOOK, "append", "--file", "-"]
    with ForkedScript(words, cwd=folder, env=clean_environment(folder)) as again:
        _, err = again.communicate(lines)
    if again.returncode != 0:
        return f"the same stream again ends with {again.returncode}: {err.decode()[:300]}"
    return None


def run(dice: Random, folder: Path, until: float, figures: Figures) -> None:
    """Crash a server again and again until the time is over."""
    del folder
    with running_server() as server:
        location = server.new_ledger("torture")
        number = 0
        while time.monotonic() < until or number == 0:
            number += 1
            how, wrong = once(server, location, number, dice)
            figures.count[f"killed: the server, by {how}"] += 1
            if wrong is not None:
                figures.broken.append(f"server crashed ({how}), run {number}: {wrong}")
