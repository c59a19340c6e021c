"""PostgreSQL: how a server is reached, and what its errors mean.

A writer's transaction is READ COMMITTED: it locks its book's row first, so nothing that it reads afterwards can change. A
reader's transaction is REPEATABLE READ, READ ONLY: it sees one consistent state however long it takes, and blocks no
writer. Times are UTC, commits are synchronous, and nobody waits for a lock longer than the busy timeout. All of this is set
on each connection, so that no default of a server, a database or a role changes what is written or read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from ledger.database.faults import WRITES, Access, Fault
from ledger.database.interrupts import interruptible
from ledger.database.statements import COMPILED
from ledger.errors import StorageError, StorageFault

CONNECT_TIMEOUT_S = 10
# The URL's own parameters take precedence. With these, a network that drops all packets is noticed within half a minute;
# the system's own limit is hours. https://www.postgresql.org/docs/current/libpq-connect.html
_DEFAULTS = {
    "application_name": "netbasis",
    "connect_timeout": str(CONNECT_TIMEOUT_S),
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_DRIVER = "postgresql+psycopg"
# Errors are raised. Without this, the driver's warnings would appear on the stderr of a bot that has set up no logging.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


def is_url(location: str) -> bool:
    """Whether a location names a PostgreSQL server."""
    return location.lower().startswith(("postgresql://", "postgres://", "postgresql+psycopg://"))


def open_engine(location: str, access: Access, *, busy_timeout_s: float) -> Engine:
    """A SQLAlchemy engine for a server's database, which must exist.

    Raises StorageError `url_not_supported`, `extra_missing`; what only the server can tell is raised on the first connect.
    """
    engine = _create_engine(_url(location))
    settings = {
        "TimeZone": "UTC",
        "DateStyle": "ISO",
        "synchronous_commit": "on",
        "quote_all_identifiers": "off",  # affects how the server shows definitions, which `check` compares
        "lock_timeout": f"{max(1, int(busy_timeout_s * 1000))}",  # 0 would mean for ever
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        "default_transaction_read_only": "on" if access == "read" else "off",
    }
    # Set by a statement, since the URL's options and libpq's environment (PGTZ, PGDATESTYLE) would override parameters.
    set_all = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise StorageError(
                StorageFault.DATABASE_ENCODING,
                "the database cannot hold every text",
                expected="a database of encoding UTF8",
                actual=encoding,
                advice="create one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
            )
        connection.execute(set_all)
        connection.commit()
        _read_any_time(connection)

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(WRITES, False):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    return engine


def _read_any_time(connection: Any) -> None:
    """Load a time that Python cannot represent, such as `infinity`, as text; it is then reported as a damaged row."""
    import psycopg
    from psycopg.adapt import Loader
    from psycopg.pq import Format

    oid = connection.adapters.types["timestamptz"].oid
    usual = connection.adapters.get_loader(oid, Format.TEXT)

    class AnyTime(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._usual = usual(oid, context)

        def load(self, data: Any) -> Any:
            try:
                return self._usual.load(data)
            except psycopg.DataError:
                return bytes(data).decode()

    connection.adapters.register_loader(oid, AnyTime)


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Within it, statements are sent without waiting for their answers; the answers are awaited at the end.

    A writer holds its book's lock while it waits for answers, so it should wait as few times as possible.
    """
    import psycopg

    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        with interruptible(), as_database_error(), driver.pipeline():
            yield
    except Exception:
        raise
    except BaseException:
        connection.invalidate()  # a Ctrl-C may have left it in the middle of the pipeline
        raise


@contextmanager
def as_database_error() -> Iterator[None]:
    """Within it, the driver's errors are raised as SQLAlchemy raises those of its own statements."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError(None, None, error) from error


def _url(location: str) -> URL:
    try:
        url = make_url(location).set(drivername=_DRIVER)
    except (ArgumentError, ValueError) as error:
        raise StorageError(
            StorageFault.URL_NOT_SUPPORTED,
            "not a database URL",
            expected="postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE",
        ) from error
    if "@" in (url.host or ""):
        raise StorageError(
            StorageFault.URL_NOT_SUPPORTED,
            "the URL has more than one @",
            advice="in a user's name or a password write @ as %40, : as %3A and / as %2F",
        )
    return url.set(query={**_DEFAULTS, **url.query, "client_encoding": "utf8"})


def _create_engine(url: URL) -> Engine:
    try:
        # Pooled connections are checked before use: after a restart of the server all of them are dead.
        engine = create_engine(url, pool_pre_ping=True, max_overflow=-1, execution_options={"compiled_cache": COMPILED})
    except ModuleNotFoundError as error:
        raise StorageError(
            StorageFault.EXTRA_MISSING,
            "PostgreSQL needs a driver that is not installed",
            expected="the extra postgres",
            advice="install it with: pip install 'netbasis[postgres]'",
        ) from error
    # SQLAlchemy's own check costs a round trip, and turns a Ctrl-C during it into another error.
    engine.dialect.do_ping = _is_open  # type: ignore[method-assign, assignment]
    return engine


def _is_open(connection: Any) -> bool:
    """Whether an idle connection is still usable: when a server closes one, there is something to read on its socket."""
    if connection.closed:
        return False
    with DefaultSelector() as selector:
        selector.register(connection.fileno(), EVENT_READ)
        return not selector.select(0)


_LOST = Fault(
    StorageFault.DATABASE_UNREACHABLE,
    "the connection to the server was lost",
    "check the server, then try again: nothing was written",
    transient=True,
)
_UNREACHED = _LOST._replace(
    what="the server cannot be reached", advice="check the host and the port of the URL, and that the server runs there"
)
_NOT_NOW = _LOST._replace(
    what="the server takes no connection now", advice="wait, close some connections, or allow more on the server"
)
_WRONG_URL = Fault(
    StorageFault.URL_NOT_SUPPORTED, "the driver does not accept this URL", "check its port and its parameters"
)
_DENIED = Fault(
    StorageFault.ACCESS_DENIED,
    "the server does not allow this role to do that",
    "check the user, the password and the grants; see docs/postgresql.md",
)
_FULL = Fault(
    StorageFault.DATABASE_FULL, "the server is out of disk space", "free some space and try again: nothing was written"
)
_BUSY = Fault(
    StorageFault.DATABASE_BUSY,
    "another transaction has held a lock too long",
    "find out who holds it (pg_stat_activity), then try again: nothing was written",
)
_CLASHED = _BUSY._replace(what="two transactions got into each other's way", transient=True)
_TIMED_OUT = Fault(
    StorageFault.DATABASE_FAILED,
    "the server ended the statement: it took too long, or somebody cancelled it",
    "allow this role more time (statement_timeout, transaction_timeout); nothing was written",
)

# SQLSTATEs, then their classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_FAULTS: dict[str, Fault] = {
    "3D000": Fault(
        StorageFault.DATABASE_MISSING,
        "the server has no such database",
        "check its name, or create it and run `netbasis init`",
    ),
    "3F000": Fault(StorageFault.DATABASE_MISSING, "the database has no such schema", "create it, or name another"),
    "42501": _DENIED,
    "55P03": _BUSY,
    "40001": _CLASHED,
    "40P01": _CLASHED,
    "25006": Fault(
        StorageFault.DATABASE_NOT_WRITABLE, "the database is read-only", "is this a replica? write to the primary"
    ),
    "57014": _TIMED_OUT,
    "25P04": _TIMED_OUT,
    "25P03": _LOST,
    "57P05": _LOST,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _LOST,
    "53100": _FULL,
    "53200": _FULL,
    "53300": _NOT_NOW,
    "08": _LOST,
    "28": _DENIED,
    "53": _FULL,
    "58": Fault(
        StorageFault.DATABASE_FAILED, "the server's disk refused to read or write", "check the server's disk and log"
    ),
    "XX": Fault(
        StorageFault.DATABASE_DAMAGED, "the server found its own data damaged", "check the server's log and its disk"
    ),
}
# Parts of the messages of a failed connection attempt, for which there is no SQLSTATE.
_MESSAGES = (
    ("password", _DENIED),
    ("authentication", _DENIED),
    ("no pg_hba.conf entry", _DENIED),
    ("permission denied", _DENIED),
    ("not permitted to log in", _DENIED),
    ("FATAL:  role", _DENIED),
    ("does not exist", _FAULTS["3D000"]),
    ("too many", _NOT_NOW),
    ("connection slots", _NOT_NOW),
    ("not currently accepting", _NOT_NOW),
    ("the database system is", _NOT_NOW),  # starting up, shutting down, in recovery
    ("connection is bad: invalid", _WRONG_URL),
    ("invalid connection option", _WRONG_URL),
    ("invalid integer value", _WRONG_URL),
    ("failed to resolve host", _UNREACHED),
    ("connection failed", _UNREACHED),
    ("connection timeout", _UNREACHED),
)


def fault_of(error: BaseException) -> Fault | None:
    """What an error of the driver means; None for an unknown error."""
    state: str | None = getattr(error, "sqlstate", None)
    if state is not None:
        return _FAULTS.get(state) or _FAULTS.get(state[:2])
    known = next((fault for words, fault in _MESSAGES if words in str(error)), None)
    return known or (_LOST if type(error).__name__ == "OperationalError" else None)
