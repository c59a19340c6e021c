"""Whatever the defaults of a server, a database, a role or the environment are: the same log, the same outputs.

And what a server does because of them (it aborts, ends what takes too long) is tried again or is a clear error.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from cli.main import run
from engine import retrying as repeating
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.copying import copy_book
from engine.upkeep.rebuild import rebuild
from ledger.database.connections import Database
from ledger.errors import StorageError
from ledger.events import Event, Opened
from tests.ledger.database.store_support import append_sample
from tests.postgres_support import connect, fresh_database, url_of
from tests.restartable_postgres import GIVE_UP_S, RestartableServer, eventually, running_server
from tests.support import BOOK, SequentialIds, TickingClock, event, ledger_file, log_of

# Not in this order under any locale but C; the accented one sorts beside its letter there.
BOOKS = ("main", "a", "B", "b", "A", "_", "ä", "z")
ASSETS = ("xrp", "XRP", "_T", "Ä", "BTC", "btc")
TEXTS = ("C:\\new\\table", 'it\'s "quoted" %s :name {x}', "Zürich ✓ 猫 \U0001f600", "\\x41\\101")
HOSTILE = {
    "default_transaction_isolation": "'serializable'",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "TimeZone": "'Asia/Kathmandu'",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "'sql_standard'",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "bytea_output": "'escape'",
    "client_encoding": "'LATIN1'",
    "synchronous_commit": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "plan_cache_mode": "'force_generic_plan'",
    "lock_timeout": "1",
}
# The texts of a locale whose order is not that of the code points. It is made in a third of the time of a whole language's.
ORDER = "_" + "".join(f"{letter}{letter.upper()}" for letter in "aäbcdefghijklmnopqrstuvwxyz")
CATEGORIES = "CTYPE IDENTIFICATION MONETARY NUMERIC TIME MESSAGES PAPER NAME ADDRESS TELEPHONE MEASUREMENT"
LOCALE = "\n".join(
    (
        "LC_COLLATE\norder_start forward",
        *(f"<U{ord(letter):04X}>" for letter in ORDER),
        "UNDEFINED\norder_end\nEND LC_COLLATE",
        *(f'LC_{name}\ncopy "en_US"\nEND LC_{name}' for name in CATEGORIES.split()),
        "",
    )
)
_numbers = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[RestartableServer]:
    """A server that knows a locale with an order of its own, where one can be made."""
    if shutil.which("localedef") is None:
        pytest.skip("there is no localedef to make a locale with")
    with tempfile.TemporaryDirectory() as locales:
        Path(locales).chmod(0o755)
        (Path(locales) / "source").write_text(LOCALE)
        command = ["localedef", "-i", f"{locales}/source", "-f", "UTF-8", f"{locales}/en_XX.UTF-8"]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("localedef has no sources to make a locale of")
        with running_server(environment={"LOCPATH": locales}) as started:
            yield started


def keep_books(location: str) -> None:
    """Make a ledger whose names, assets and texts are sorted and escaped in other ways elsewhere."""
    with Bookkeeper.open(location, "create", clock=TickingClock(), new_id=SequentialIds()) as keeper:
        for book in BOOKS:
            keeper.open_book(book, Opened(mode="live"))
        append_sample(keeper)
        for number, asset in enumerate(ASSETS):
            note = TEXTS[number % len(TEXTS)]
            keeper.append(
                "b", event("deposit", asset=asset, amount="7.5", price="2", source_note=note, key=f"{note}:{asset}")
            )
            keeper.append("b", event("mark", asset=asset, price="3", key=f"{asset}:m"))
        rebuild(keeper.database, "b")


def said(location: str, *arguments: str) -> tuple[int, str]:
    """What a command line says, but for where the ledger is."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = run(["--db", location, *arguments])
    return code, out.getvalue().replace(location, "LEDGER")


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("balance",),
    ("balance", "-O", "json"),
    ("register",),
    ("register", "-O", "csv"),
    ("pnl",),
    ("pnl", "-O", "json"),
    ("audit", "basis"),
    ("summary",),
    ("check",),
    ("head",),
    ("rebuild", "--dry-run"),
)


def test_hostile_defaults_change_nothing(
    server: RestartableServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    monkeypatch.setenv("PGTZ", "Pacific/Apia")
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_isolation=serializable -c DateStyle=SQL")
    server.execute("CREATE DATABASE hostile LOCALE 'en_XX.UTF-8' TEMPLATE template0")
    assert server.execute("SELECT 'a' < 'B', 'ä' < 'b'", database="hostile") == [(True, True)]
    server.execute(*(f"ALTER DATABASE hostile SET {name} = {value}" for name, value in HOSTILE.items()))
    postgres, sqlite = server.url("hostile"), str(ledger_file(tmp_path))
    for location in (postgres, sqlite):
        keep_books(location)
    with Bookkeeper.open(postgres) as one, Bookkeeper.open(sqlite) as other:
        for book in BOOKS:
            assert log_of(one, book) == log_of(other, book)
            assert one.view(book) == other.view(book)
    for book in (BOOK, "b"):
        for command in COMMANDS:
            assert said(postgres, "--book", book, *command) == said(sqlite, "--book", book, *command)
    for command in (("balance",), ("check",)):  # these name or go through all books
        assert said(postgres, *command) == said(sqlite, *command)
    back = str(ledger_file(tmp_path, "back.db"))
    with Database.open(postgres, "read") as source, Bookkeeper.open(back) as copy:
        copy_book(source, copy.database, "b")
        assert log_of(copy, "b")[-1].hash.hex() in said(sqlite, "--book", "b", "head", "-O", "json")[1]


# Two at once


def test_who_waits_for_the_lock_goes_on_at_once_whatever_isolation_is_the_default(
    server: RestartableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeating, "PAUSES_S", ())
    url = server.new_ledger("isolated")
    server.execute("ALTER DATABASE isolated SET default_transaction_isolation = 'repeatable read'")
    with Bookkeeper.open(url) as one, Bookkeeper.open(url) as other:
        with one.transaction(BOOK) as transaction:
            transaction.append(mark("1"))
            waiting = Appending(other, mark("2"))
            server.wait_until("wait_event_type = 'Lock'")
        assert waiting.version() == 3
        assert check(one.database, BOOK).ok


class Appending(threading.Thread):
    """An append in a thread."""

    def __init__(self, keeper: Bookkeeper, given: Event) -> None:
        super().__init__()
        self._keeper = keeper
        self._given = given
        self._version = 0
        self._error: StorageError | None = None
        self.start()

    def run(self) -> None:
        try:
            self._version = self._keeper.append(BOOK, self._given).stored.version
        except StorageError as error:
            self._error = error

    def version(self) -> int:
        """The version that was appended, once it was."""
        self.join(GIVE_UP_S)
        assert not self.is_alive()
        assert self._error is None, self._error
        return self._version


def mark(price: str, key: str | None = None) -> Event:
    return event("mark", asset="XRP", price=price, **({"key": key} if key else {}))


@pytest.fixture
def database() -> str:
    """The name of a ledger with one book, which has a mark."""
    name = fresh_database()
    with Bookkeeper.open(url_of(name)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        keeper.append(BOOK, mark("1"))
    return name


def make_serializable(keeper: Bookkeeper) -> None:
    """From now on its transactions are serializable, so that the server has reason to abort them."""

    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")

    sqlalchemy_event.listen(keeper.database._engine, "begin", on_begin)


@pytest.mark.parametrize("key", ["m:3", None])
def test_a_serialization_failure_is_tried_again_and_written_once(database: str, key: str | None) -> None:
    with Bookkeeper.open(url_of(database)) as one, Bookkeeper.open(url_of(database)) as other:
        make_serializable(other)
        attempts = count_attempts(other)
        with one.transaction(BOOK) as transaction:
            transaction.append(mark("2"))
            waiting = Appending(other, mark("3", key))
            wait_for_lock(database)
        assert waiting.version() == 4
        assert len(attempts) == 2
        assert len(log_of(one)) == 4
        assert check(one.database, BOOK).ok


@pytest.mark.parametrize("key", ["m:2", None])
def test_a_serialization_failure_at_the_commit_itself_is_known_to_have_written_nothing(
    database: str, key: str | None
) -> None:
    """The other transaction has read what this one writes, written what this one has read, and commits first."""
    with connect(database) as other, Bookkeeper.open(url_of(database)) as keeper:
        other.execute("INSERT INTO projection_rebuilds VALUES ('main', 1)")
        other.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        other.execute("SELECT * FROM marks")
        other.execute("UPDATE projection_rebuilds SET count = 2")
        make_serializable(keeper)
        commits = count_attempts(keeper)
        sqlalchemy_event.listen(
            keeper.database._engine, "commit", lambda _: other.execute("COMMIT") if len(commits) == 1 else None
        )
        assert keeper.append(BOOK, mark("2", key)).stored.version == 3
        assert len(commits) == 2
        assert len(log_of(keeper)) == 3
        assert check(keeper.database, BOOK).ok


@pytest.mark.parametrize("key", ["m:2", None])
def test_a_deadlock_is_tried_again_and_written_once(database: str, key: str | None) -> None:
    """Rows locked in the opposite order; the server notices it from the side of the append, which it ends."""
    with connect() as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET deadlock_timeout = 1500')
    with connect(database) as other, Bookkeeper.open(url_of(database)) as keeper:
        other.execute("SET deadlock_timeout = '1min'")
        attempts = count_attempts(keeper)
        other.execute("BEGIN")
        other.execute("SELECT * FROM marks FOR UPDATE")
        appending = Appending(keeper, mark("2", key))
        wait_for_lock(database)
        other.execute("SELECT * FROM books FOR UPDATE")
        other.execute("COMMIT")
        assert appending.version() == 3
        assert len(attempts) == 2
        assert check(keeper.database, BOOK).ok


def count_attempts(keeper: Bookkeeper) -> list[int]:
    """A list that gets longer with every transaction that the keeper begins to write in."""
    attempts: list[int] = []

    def on_begin(connection: Any) -> None:
        if connection.get_execution_options().get("netbasis_writes"):
            attempts.append(1)

    sqlalchemy_event.listen(keeper.database._engine, "begin", on_begin)
    return attempts


def wait_for_lock(database: str) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with connect() as connection:
        eventually(lambda: connection.execute(query, [database]).fetchone() != (0,))


# What takes the server too long


def test_a_statement_that_takes_longer_than_the_server_allows_is_a_clear_error(database: str) -> None:
    with connect() as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET statement_timeout = 100')
    with connect(database) as holder, holder.transaction(), Bookkeeper.open(url_of(database)) as keeper:
        holder.execute("SELECT * FROM books FOR UPDATE")
        with pytest.raises(StorageError, match="statement_timeout") as raised:
            keeper.append(BOOK, mark("2", "m:2"))
        assert raised.value.code == "database_failed"
    with Bookkeeper.open(url_of(database), "read") as keeper:
        assert len(log_of(keeper)) == 2


def wait_until_gone(database: str) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'netbasis'"
    with connect() as connection:
        eventually(lambda: connection.execute(query, [database]).fetchone() == (0,))


def test_a_bot_that_was_idle_for_longer_than_the_server_allows_goes_on(database: str) -> None:
    with connect() as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET idle_session_timeout = 50')
    with Bookkeeper.open(url_of(database)) as keeper:
        assert keeper.append(BOOK, mark("2")).stored.version == 3
        wait_until_gone(database)
        assert keeper.view(BOOK).head.version == 3
        wait_until_gone(database)
        assert keeper.append(BOOK, mark("3")).stored.version == 4


def read_slowly(keeper: Bookkeeper, database: str) -> None:
    with keeper.database.reading() as reading:
        reading.execute(text("SELECT 1"))
        wait_until_gone(database)
        reading.execute(text("SELECT 1"))


def test_a_reader_that_rests_for_longer_than_the_server_allows_is_a_clear_error(database: str) -> None:
    with connect() as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET idle_in_transaction_session_timeout = 50')
    with Bookkeeper.open(url_of(database)) as keeper:
        with pytest.raises(StorageError) as raised:
            read_slowly(keeper, database)
        assert raised.value.code == "database_unreachable"
        assert keeper.view(BOOK).head.version == 2


# Who may not, and where the tables are


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ("NOLOGIN", "access_denied"),
        ("LOGIN CONNECTION LIMIT 0", "database_unreachable"),
        ("LOGIN", "access_denied"),  # it may not connect to this database
    ],
)
def test_a_role_that_may_not_connect(database: str, terms: str, code: str) -> None:
    role = f"role_{next(_numbers)}"
    with connect() as connection:
        connection.execute(f"CREATE ROLE {role} {terms} PASSWORD 'its own'")
        connection.execute(f'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC')
        try:
            with pytest.raises(StorageError) as raised:
                Bookkeeper.open(url_of(database, username=role, password="its own"))
            assert raised.value.code == code
        finally:
            connection.execute(f"DROP ROLE {role}")


def test_two_ledgers_in_schemas_of_one_database(database: str) -> None:
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA second")
    desk = f"{url_of(database)}{'&' if '?' in url_of(database) else '?'}options=-csearch_path%3Dsecond"
    with Bookkeeper.open(desk, "create") as keeper, Bookkeeper.open(url_of(database)) as other:
        keeper.open_book(BOOK, Opened(mode="paper"))
        keeper.append(BOOK, mark("5"))
        assert (keeper.view(BOOK).book.mode, other.view(BOOK).book.mode) == ("paper", "live")
        assert check(keeper.database, BOOK).ok
        assert check(other.database, BOOK).ok
    assert tables_of(database, "second") == tables_of(database, "public")


def tables_of(database: str, schema: str) -> Sequence[object]:
    with connect(database) as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
        return connection.execute(query, [schema]).fetchall()


def test_a_search_path_that_leads_elsewhere_is_no_ledger(database: str) -> None:
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute(f'ALTER DATABASE "{database}" SET search_path = elsewhere')
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(url_of(database))
    assert raised.value.code == "not_a_ledger"


def test_check_reports_a_default_that_keeps_the_triggers_from_firing(database: str) -> None:
    with connect(database) as connection:
        connection.execute(f'ALTER DATABASE "{database}" SET session_replication_role = replica')
    with closing(connect(database)) as intruder:
        intruder.execute("UPDATE events SET price = 9 WHERE version = 2")  # no trigger fires
        intruder.execute("UPDATE events SET price = 1 WHERE version = 2")
    with Bookkeeper.open(url_of(database), "read") as keeper:
        findings = check(keeper.database, BOOK).findings
    assert [(finding.invariant, finding.actual) for finding in findings] == [("schema", "replica")]


@pytest.mark.parametrize(("given", "seconds"), [("", "30000"), ("tcp_user_timeout=5000", "5000")])
def test_a_network_that_swallows_everything_is_found_out_and_the_url_says_how_soon(
    database: str, given: str, seconds: str
) -> None:
    location = url_of(database)
    url = f"{location}{'&' if '?' in location else '?'}{given}"
    with Bookkeeper.open(url) as keeper, keeper.database.reading() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        parameters = driver.info.get_parameters()
    assert (parameters["tcp_user_timeout"], parameters["keepalives_count"]) == (seconds, "3")
