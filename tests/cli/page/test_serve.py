"""`serve`: where it listens, whom it answers, how it ends."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from cli.page import server
from tests.cli.page.page_support import page_of, served, streaming
from tests.cli_support import Cli, assert_refused, deposit, ended
from tests.script_server import ForkedScript
from tests.support import open_keeper

TOKEN = "0123456789abcdef"


@contextmanager
def serving(cli: Cli, *options: str, book: str | None = None) -> Iterator[tuple[ForkedScript, str]]:
    """The command in a process of its own, and the address that it prints."""
    of = () if book is None else ("--book", book)
    with cli.start(*of, "serve", "--port", "0", *options, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        match = re.fullmatch(r"the page is at (http://\S+)/; Ctrl-C ends it\n", line)
        assert match, (line, child.stderr and child.stderr.read())
        try:
            yield child, match[1]
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)


def get(address: str, path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)) as connection:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_it_shows_the_ledger_until_a_signal_comes_even_with_a_reader(cli: Cli, sent: signal.Signals, code: int) -> None:
    cli.append(deposit("d1", "12.5"))
    before = cli.unchanged()
    with serving(cli) as (child, address):
        status, text = get(address)
        assert status == 200
        assert "12.50" in text
        with streaming(address, "/stream?from=2") as events:
            assert next(events)["id"] == "2"
            child.send_signal(sent)
            ran = ended(child)
    assert (ran.code, ran.err) == (code, "")
    assert cli.unchanged() == before


def test_a_check_is_run_when_it_starts(cli: Cli) -> None:
    with serving(cli) as (_, address):
        for _ in range(200):
            _, text = get(address, "/check")
            if "Everything holds." in text:
                return
        pytest.fail(text)


def test_the_token_of_a_file_is_asked_for(cli: Cli) -> None:
    cli.write("token", f"  {TOKEN}\n")
    with serving(cli, "--token-file", "token", "--name", "ledger.example.com") as (_, address):
        assert get(address)[0] == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert get(address, headers=bearer)[0] == 200
        assert get(address, headers=bearer | {"Host": "ledger.example.com"})[0] == 200
        assert get(address, headers=bearer | {"Host": "evil.example"})[0] == 421


def test_where_it_listens_everywhere_it_prints_an_address_that_it_answers_to(cli: Cli) -> None:
    cli.write("token", TOKEN)
    with serving(cli, "--host", "0.0.0.0", "--token-file", "token") as (_, address):  # noqa: S104
        assert address.startswith("http://localhost:")
        assert get(address, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "0.0.0.0"),  # noqa: S104
        ("--host", "::"),
        ("--host", "192.0.2.1"),
        ("--host", "ledger.example.com"),
        ("--name", "ledger.example.com"),
        ("--host", "localhost", "--name", "localhost.example.com"),
    ],
)
def test_what_others_could_reach_demands_a_token(cli: Cli, options: tuple[str, ...]) -> None:
    assert_refused(cli.run("serve", *options), 2, "usage", "--token-file")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("", "16 characters"),
        (TOKEN[:15], "16 characters"),
        (f"{TOKEN} {TOKEN}", "without blanks"),
        (f"{TOKEN}\n{TOKEN}", "without blanks"),
        ("ä" * 20, "cannot be read"),
    ],
)
def test_a_token_that_can_be_guessed_or_given_wrong_is_refused(cli: Cli, content: str | None, said: str) -> None:
    if content is not None:
        cli.write("token", content)
    ran = cli.run("serve", "--token-file", "token")
    assert_refused(ran, 2, "usage", said)
    assert TOKEN not in ran.err


def test_a_port_that_is_taken_is_named(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(cli.run("serve", "--port", str(port)), 4, "input_output_failed", str(port), "--port")


def test_the_extra_is_named_where_it_is_absent(cli: Cli) -> None:
    blocked = cli.folder / "blocked"
    blocked.mkdir()
    for name in ("starlette", "uvicorn", "jinja2"):
        (blocked / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module', name={name!r})\n")
    assert_refused(cli.run("serve", env={"PYTHONPATH": str(blocked)}), 2, "usage", "pip install 'netbasis[web]'")


def test_a_book_that_is_not_there_is_refused_before_it_listens(cli: Cli) -> None:
    ran = cli.run("serve", target=("--db", cli.named, "--book", "other"))
    assert_refused(ran, 1, "book_unknown")
    assert_refused(cli.run("serve", target=("--db", "nothing.db")), 4, "database_missing")


def test_one_book_of_several_is_shown_alone(cli: Cli) -> None:
    cli.here("init", target=("--db", cli.location, "--book", "other"))
    cli.append(deposit("d1", "12.5"))
    with serving(cli, book="other") as (_, address):
        assert "12.50" not in get(address, "/books")[1]
        assert get(address, "/?book=main")[0] == 404


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page that is served by a thread of this process."""
    with open_keeper(Path(tmp_path_factory.mktemp("served"))) as keeper, served(page_of(keeper)) as found:
        yield found


def test_who_never_ends_a_request_does_not_keep_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 1)
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 4)
    with open_keeper(tmp_path) as keeper, served(page_of(keeper)) as found, ExitStack() as stack:
        host, port = found.removeprefix("http://").split(":")
        slow = [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(5)]
        began = time.monotonic()
        asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        slow[1].sendall(asked)
        slow[2].sendall(asked + b"Content-Length: 9\r\n\r\n")
        closed = False
        while not closed and time.monotonic() < began + 10:
            try:
                slow[1].sendall(b"X: y\r\n")  # a little now and then
                time.sleep(0.2)
            except ConnectionError:
                closed = True
        assert closed
        assert get(found)[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nabc",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /%00%ff%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_sound_request_is_refused_and_the_next_one_answered(address: str, raw: bytes) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        try:
            wire.sendall(raw)
            answer = wire.recv(4_096)
        except ConnectionError:
            answer = b""
    assert answer == b"" or answer.split()[1][:1] == b"4", answer[:200]
    assert get(address)[0] == 200
