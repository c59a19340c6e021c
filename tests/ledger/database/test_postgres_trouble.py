"""Trouble on the way to a server: what passes is tried again and written once, all else is a clear error."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy import make_url

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.errors import StorageError
from ledger.events import Event, Opened
from tests.engines import intruding
from tests.postgres_support import connect, empty_database, fresh_database, given_server, server_url, url_of
from tests.support import BOOK, ROOT, event, log_of


@pytest.fixture
def database() -> str:
    """A ledger with one book."""
    name = fresh_database()
    with Bookkeeper.open(url_of(name)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
    return name


def mark(key: str | None) -> Event:
    return event("mark", asset="XRP", price="1.33", **({"key": key} if key else {}))


def end_connections(name: str) -> None:
    """End every other connection to a database, as a server that restarts does."""
    with connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [name],
        )


def code_of(location: str) -> str:
    """The code of the error that opening a ledger there meets."""
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(location, "read")
    assert "secret" not in str(raised.value)
    return raised.value.code


def test_a_database_that_is_not_there() -> None:
    assert code_of(url_of("no_such_database")) == "database_missing"


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert code_of(f"postgresql+psycopg://me:secret@127.0.0.1:{port}/ledger") == "database_unreachable"


def test_a_role_that_is_not_there(database: str) -> None:
    assert code_of(url_of(database, username="nobody_of_that_name", password="secret")) in (
        "access_denied",
        "database_missing",  # the server says that the role does not exist
    )


def test_a_database_of_another_encoding() -> None:
    name = empty_database("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    assert code_of(url_of(name)) == "database_encoding"


def test_a_url_that_is_none() -> None:
    assert code_of("postgresql+psycopg://host:port:secret/x") == "url_not_supported"


def test_a_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None; from cli.main import run; "
        "sys.exit(run(['--db', 'postgresql+psycopg://h/d', 'balance']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error[extra_missing]")
    assert "netbasis[postgres]" in done.stderr


def test_a_lock_that_is_held_too_long(database: str) -> None:
    with (
        connect(database) as holder,
        holder.transaction(),
        Bookkeeper.open(url_of(database), busy_timeout_s=0.2) as keeper,
    ):
        holder.execute("SELECT * FROM books FOR UPDATE")
        with pytest.raises(StorageError) as raised:
            keeper.append(BOOK, mark("m:1"))
        assert raised.value.code == "database_busy"
        holder.execute("ROLLBACK")
    with Bookkeeper.open(url_of(database)) as keeper:
        assert keeper.view(BOOK).head.version == 1


@pytest.mark.parametrize("key", ["m:2", None])
def test_a_connection_lost_between_two_appends_is_made_again(database: str, key: str | None) -> None:
    with Bookkeeper.open(url_of(database)) as keeper:
        keeper.append(BOOK, mark("m:1"))
        end_connections(database)
        assert keeper.append(BOOK, mark(key)).stored.version == 3
        assert [stored.version for stored in log_of(keeper)] == [1, 2, 3]
        assert check(keeper.database, BOOK).ok


class CuttingProxy:
    """A way to the server that lets one COMMIT through and cuts the connection before the answer comes back."""

    def __init__(self) -> None:
        self.cuts = 1
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        url = make_url(server_url())
        folder = url.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(f"{folder}/.s.PGSQL.{url.port or 5432}")
        else:
            upstream = socket.create_connection((url.host or "127.0.0.1", url.port or 5432))
        cutting = threading.Event()
        threading.Thread(target=self._answer, args=(upstream, client, cutting), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"COMMIT" in data and self.cuts > 0:
                    self.cuts -= 1
                    cutting.set()
                upstream.sendall(data)
        upstream.close()

    @staticmethod
    def _answer(upstream: socket.socket, client: socket.socket, cutting: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                if cutting.is_set():
                    break  # the server has committed: this is its answer
                client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)
        client.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[CuttingProxy]:
    """A proxy that cuts one connection."""
    started = CuttingProxy()
    yield started
    started.close()


def through(proxy: CuttingProxy, database: str) -> str:
    url = make_url(server_url())
    plain = {"sslmode": "disable", "gssencmode": "disable"}
    through = url.set(host="127.0.0.1", port=proxy.port, database=database, query=plain)
    return through.render_as_string(hide_password=False)


def test_a_connection_lost_between_commit_and_answer_ends_in_exactly_one_event(
    database: str, proxy: CuttingProxy
) -> None:
    proxy.cuts = 0
    with Bookkeeper.open(through(proxy, database)) as keeper:
        proxy.cuts = 1
        outcome = keeper.append(BOOK, mark("m:1"))
        assert outcome.existed  # written by the first attempt, found by the second
        assert [stored.key for stored in log_of(keeper)] == ["opened", "m:1"]
        assert check(keeper.database, BOOK).ok


def test_without_a_key_it_is_said_that_the_outcome_is_not_known(database: str, proxy: CuttingProxy) -> None:
    proxy.cuts = 0
    with Bookkeeper.open(through(proxy, database)) as keeper:
        proxy.cuts = 1
        with pytest.raises(StorageError) as raised:
            keeper.append(BOOK, mark(None))
        assert raised.value.outcome_is_unknown
        assert "not known" in str(raised.value)
        assert len(log_of(keeper)) == 2


@pytest.mark.skipif(given_server() is not None, reason="it would change the rules of a server that is somebody's")
def test_a_wrong_password_is_refused_and_not_shown(database: str) -> None:
    """Against a server that asks for one: the role has a password and the rule is made for it alone."""
    with connect() as connection:
        row = connection.execute("SHOW hba_file").fetchone()
        assert row is not None
        rules = Path(row[0])
        connection.execute("CREATE ROLE asked_for_a_password LOGIN PASSWORD 'right'")
        before = rules.read_text("utf-8")
        lines = "".join(f"{way} asked_for_a_password {rest}\n" for way, rest in _WAYS)
        try:
            rules.write_text(lines + before, "utf-8")
            connection.execute("SELECT pg_reload_conf()")
            assert code_of(url_of(database, username="asked_for_a_password", password="secret")) == "access_denied"
            right = make_url(url_of(database, username="asked_for_a_password", password="right"))
            psycopg.connect(right.set(drivername="postgresql").render_as_string(hide_password=False)).close()
        finally:
            rules.write_text(before, "utf-8")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP ROLE asked_for_a_password")


_WAYS = (("local all", "scram-sha-256"), ("host all", "all scram-sha-256"))


class Queue:
    """Events that are gone once they were taken, as a bot's queue or a socket has them."""

    def __init__(self, count: int, database: str) -> None:
        self.left = [mark(f"q:{index}") for index in range(count)]
        self.database = database

    def __iter__(self) -> Iterator[Event]:
        while self.left:
            if len(self.left) == 300:
                end_connections(self.database)
            yield self.left.pop(0)


def test_a_queue_whose_connection_is_lost_is_an_error_and_not_half_a_success(database: str) -> None:
    with Bookkeeper.open(url_of(database)) as keeper:
        with pytest.raises(StorageError) as raised:
            keeper.append_all(BOOK, Queue(1000, database))
        assert raised.value.code == "database_unreachable"
        assert len(log_of(keeper)) == 1


@pytest.mark.parametrize("moment", ["__enter__", "__exit__"])
def test_a_ctrl_c_in_the_middle_of_a_journey_leaves_the_bookkeeper_usable(
    database: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Bookkeeper.open(url_of(database)) as keeper:
        keeper.append(BOOK, mark("m:1"))
        with monkeypatch.context() as patched:
            usual = psycopg.Pipeline.__enter__
            patched.setattr(
                psycopg.Pipeline, moment, interrupt if moment == "__exit__" else lambda self: interrupt(usual(self))
            )
            with pytest.raises(KeyboardInterrupt):
                keeper.append(BOOK, mark("m:2"))
        assert keeper.view(BOOK).head.version == 2
        assert keeper.append(BOOK, mark("m:2")).stored.version == 3
        assert check(keeper.database, BOOK).ok


class Interrupting:
    """Raises KeyboardInterrupt at the n-th place within the driver at which Python looks whether a signal has come."""

    def __init__(self, place: int) -> None:
        self.left = place

    def __call__(self, frame: FrameType, happened: str, _argument: object) -> None:
        if happened not in ("call", "c_return") or not frame.f_code.co_filename.startswith(_DRIVER):
            return
        if frame.f_code.co_name == "__del__":  # Python drops it there: `cli.shared.signals` raises it again
            return
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


_DRIVER = str(Path(psycopg.__file__).parent)


def test_a_ctrl_c_anywhere_in_the_driver_is_no_lost_connection(database: str) -> None:
    """After some of them the driver's own clean-up fails. Taken for a lost connection, it would be tried again."""
    places = range(1, 10_000, 7)
    with Bookkeeper.open(url_of(database)) as keeper:
        for place in places:
            interrupting = Interrupting(place)
            with contextlib.suppress(KeyboardInterrupt), interrupting:
                keeper.append(BOOK, mark(f"m:{place}"))
                assert interrupting.left > 0, f"the interrupt at {place} was lost"
                break
            assert keeper.append(BOOK, mark(f"m:{place}")).stored.event.key == f"m:{place}"
        assert len(log_of(keeper)) == 1 + len(places[: places.index(place) + 1])
        assert place > 300
        assert check(keeper.database, BOOK).ok


def test_trouble_while_somebody_deals_with_a_ctrl_c_is_no_ctrl_c() -> None:
    """A bot that records its last events before it ends, for example."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert code_of(url_of("no_such_database")) == "database_missing"


def stop_a_transaction(keeper: Bookkeeper) -> None:
    with keeper.transaction(BOOK):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise LookupError from None


def test_what_a_caller_makes_of_a_ctrl_c_is_his(database: str) -> None:
    with Bookkeeper.open(url_of(database)) as keeper, pytest.raises(LookupError):
        stop_a_transaction(keeper)


def test_who_does_not_want_to_wait_does_not(database: str) -> None:
    """0 is for ever to the server."""
    with connect(database) as holder, holder.transaction():
        holder.execute("SELECT * FROM books FOR UPDATE")
        with Bookkeeper.open(url_of(database), busy_timeout_s=0) as keeper, pytest.raises(StorageError) as raised:
            keeper.append(BOOK, mark("m:1"))
    assert raised.value.code == "database_busy"
    assert "nothing was written" in str(raised.value)


def test_many_readers_at_once_need_no_turn(database: str) -> None:
    with Bookkeeper.open(url_of(database), "read") as keeper, contextlib.ExitStack() as reading:
        for _ in range(20):
            reading.enter_context(keeper.database.reading())
        assert keeper.view(BOOK).head.version == 1


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"host": "no.such.host.invalid"}, "database_unreachable", "cannot be reached"),
        ({"port": 99999, "host": "127.0.0.1"}, "url_not_supported", "invalid port number"),
        ({"query": {"sslmode": "bogus"}, "host": "127.0.0.1"}, "url_not_supported", "invalid sslmode"),
        ({"query": {"sslmod": "require"}, "host": "127.0.0.1"}, "url_not_supported", "invalid connection option"),
        ({"host": "TOP@db.invalid"}, "url_not_supported", "%40"),
    ],
)
def test_a_url_that_was_mistyped_is_called_that(change: dict[str, Any], code: str, words: str) -> None:
    url = make_url("postgresql+psycopg://desk:secret@db.invalid/ledger").set(**change)
    location = url.render_as_string(hide_password=False).replace("%40", "@").replace("[", "").replace("]", "")
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(location, "read")
    assert raised.value.code == code
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "location",
    [
        "postgresql+psycopg://desk:secret@part@db.invalid/ledger",
        "postgresql+psycopg:/desk:secret@db.invalid/ledger",
        "postgresql+psycopg//desk:secret@db.invalid/ledger",
        "postgres+psycopg2://desk:secret@db.invalid/ledger",
        "postgresql:ledger.db",
    ],
)
def test_a_misspelt_url_is_no_path_and_its_password_is_not_shown(location: str) -> None:
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(location, "create")
    assert raised.value.code == "url_not_supported"
    assert "secret" not in str(raised.value)
    assert "part" not in str(raised.value)


def test_a_schema_that_a_role_may_not_use_is_not_an_empty_database(database: str) -> None:
    location = f"{url_of(database)}{'&' if '?' in url_of(database) else '?'}options=-csearch_path%3Dnowhere"
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(location, "read")
    assert (raised.value.code, "nowhere" in str(raised.value)) == ("access_denied", True)


@pytest.mark.parametrize("time", ["infinity", "-infinity", "12000-01-01", "0044-03-15 BC"])
def test_a_time_that_python_has_no_form_for_is_damage_that_check_names_and_a_rebuild_repairs(
    database: str, time: str
) -> None:
    with Bookkeeper.open(url_of(database)) as keeper:
        keeper.append(BOOK, mark("m:1"))
        with intruding(url_of(database)) as raw:
            raw.execute("UPDATE events SET at = ? WHERE version = 2", [time])
            raw.execute("UPDATE marks SET at = ?", [time])
        found = {(finding.invariant, finding.version) for finding in check(keeper.database, BOOK).findings}
        assert ("chain", 2) in found
        with intruding(url_of(database)) as raw:
            raw.execute("UPDATE events SET at = recorded_at WHERE version = 2")
        assert [change.projection for change in rebuild(keeper.database, BOOK).changes] == ["marks"]
        assert check(keeper.database, BOOK).ok
