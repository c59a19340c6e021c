"""A server whose disk is really full: nothing of the append is written, all else stays, and with room it goes on."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import psycopg
import pytest

from cli.main import run
from engine import retrying as repeating
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger.errors import StorageError
from ledger.events import Event, Opened
from tests.cli_support import deposit, ndjson
from tests.restartable_postgres import RestartableServer, running_server
from tests.support import BOOK, event, log_of

MANY = 600


@pytest.fixture
def server() -> Iterator[RestartableServer]:
    """A server of the test's own."""
    with running_server() as started:
        yield started


@pytest.fixture
def disk(server: RestartableServer, tmp_path: Path) -> Iterator[Path]:
    """A small disk of the server's; the test is skipped where none can be mounted."""
    folder = server.folder / "small_disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    server.own(folder)
    try:
        yield folder
        server.crash()
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Fill the disk to its last page; what to remove to make room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    assert shutil.disk_usage(disk).free < 1 << 12
    return ballast


def mark(number: int) -> Event:
    return event("mark", asset="XRP", price=str(number), key=f"m:{number}")


def said(location: str, *arguments: str) -> tuple[int, str]:
    """What a command line says on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["--db", location, *arguments])
    return code, err.getvalue()


def test_a_full_disk_is_an_error_that_leaves_nothing_and_passes_with_room(
    server: RestartableServer, disk: Path, tmp_path: Path
) -> None:
    server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    url = server.new_ledger("ledger", options="TABLESPACE small")
    many = [mark(number) for number in range(2, MANY)]
    file = tmp_path / "many.ndjson"
    file.write_bytes(ndjson(deposit(f"d:{number}") for number in range(MANY)))
    with Bookkeeper.open(url) as keeper:
        keeper.append(BOOK, mark(1))
        ballast = fill(disk)
        before = log_of(keeper)
        with pytest.raises(StorageError) as raised:
            keeper.append_all(BOOK, many)
        assert (raised.value.code, raised.value.outcome_is_unknown) == ("database_full", False)
        assert "nothing was written" in str(raised.value)
        code, error = said(url, "append", "--file", str(file))
        assert (code, error.count("\n")) == (4, 1)
        assert error.startswith("error[database_full]: ")
        assert log_of(keeper) == before
        assert keeper.view(BOOK).head.version == len(before)
        assert check(keeper.database, BOOK).ok
        assert said(url, "check")[0] == 0
        ballast.unlink()
        assert keeper.append_all(BOOK, many).appended == len(many)
        assert said(url, "append", "--file", str(file)) == (0, "")
        assert len(log_of(keeper)) == len(before) + len(many) + MANY
        assert check(keeper.database, BOOK).ok


def append_until_it_fails(keeper: Bookkeeper, server: RestartableServer, acknowledged: list[str]) -> StorageError:
    for number in range(1, 50):
        try:
            keeper.append(BOOK, mark(number))
        except StorageError as error:
            return error
        acknowledged.append(f"m:{number}")
        with suppress(psycopg.OperationalError):
            server.execute("SELECT pg_switch_wal()")  # so that the next event needs room
    raise AssertionError("the disk did not get full")


def test_what_was_acknowledged_survives_a_full_disk_of_the_servers_own_log(
    server: RestartableServer, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server crashes when it cannot write its WAL."""
    monkeypatch.setattr(repeating, "PAUSES_S", (0.01,))
    server.stop()
    wal = server.folder / "pg_wal"
    shutil.copytree(wal, disk / "wal")
    shutil.rmtree(wal)
    wal.symlink_to(disk / "wal")
    for path in (disk / "wal", *(disk / "wal").rglob("*")):
        server.own(path)
    server.start()
    url = server.new_ledger("ledger", book=None)
    acknowledged: list[str] = []
    with Bookkeeper.open(url) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        ballast = fill(disk)
        error = append_until_it_fails(keeper, server, acknowledged)
        # The server's last words come instead of the commit's answer; there are none when it died of the switch.
        assert error.code in ("database_full", "database_unreachable")
        assert error.code == "database_unreachable" or "it is not known whether it was written" in str(error)
        ballast.unlink()
        server.crash()
        server.start()
        present = [stored.key for stored in log_of(keeper)][1:]
        assert present[: len(acknowledged)] == acknowledged
        assert len(present) <= len(acknowledged) + error.outcome_is_unknown
        keeper.append(BOOK, mark(len(acknowledged) + 1))
        assert [stored.key for stored in log_of(keeper)][1:] == [*acknowledged, f"m:{len(acknowledged) + 1}"]
        assert check(keeper.database, BOOK).ok
