"""Starts the command line, or a test's own program, in processes that are forked from a server which has imported all of it.

Such a process has streams, a folder, an environment, signals and an exit code of its own, as the installed script has, and
takes a tenth of its time, most of which goes to imports. What Python settles when it starts (locale, PYTHON… variables
without PYTHONIOENCODING) is not settled anew: tests about that start the script itself, as does what is about the
installed program.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from threading import Thread, Timer
from types import TracebackType
from typing import IO, Any, NoReturn, Self

ROOT = Path(__file__).parents[1]
SCRIPT = Path(sys.executable).with_name("netbasis")
GIVE_UP_S = 60  # a child that hangs fails its test; no test depends on how long a child takes
PACKAGES = ("cli", "engine", "ledger", "migrations", "projections")
AS_WELL = (
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "alembic.command",
)
COMMAND_LINE = "from cli.main import main; main()"
_STATUS = struct.Struct("i")
_STREAMS = 3
_LONGEST_REQUEST = 1 << 16
_MORE_THAN_OPEN = 256
_EXIT_FLUSH_FAILED = 120  # what Python exits with when standard output cannot be flushed at the end


class ForkedScript:
    """A command line in a process of its own, or another `program`, with the part of `subprocess.Popen` that tests use.

    stdin, stdout, stderr: of this side; None where the child was given something else than a pipe
    returncode:            the exit code, negative for a signal; None while it is not known to have ended

    Killed when its test fails, or has waited for it too long: a hang is a failure, not a wait.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | IO[Any] = subprocess.PIPE,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
        bufsize: int = -1,
        program: str = COMMAND_LINE,
    ) -> None:
        self.stdin, its_stdin = _pipe_to(stdin)
        self.stdout, its_stdout = _pipe_from(stdout, bufsize)
        self.stderr, its_stderr = _pipe_from(stderr, bufsize)
        self._status, its_status = os.pipe()
        self.returncode: int | Any = None
        request = json.dumps({"program": program, "words": list(words), "cwd": str(cwd), "env": dict(env)}).encode()
        theirs = [its_stdin, its_stdout, its_stderr, its_status]
        socket.send_fds(_server(), [request], theirs)
        for number, given in zip(theirs, (stdin, stdout, stderr, subprocess.PIPE), strict=True):
            if given in (subprocess.PIPE, subprocess.DEVNULL):
                os.close(number)
        self.pid = self._hear()

    def _hear(self) -> int:
        heard = os.read(self._status, _STATUS.size)
        assert len(heard) == _STATUS.size, "the server of scripts has ended"
        (number,) = _STATUS.unpack(heard)
        assert isinstance(number, int)
        return number

    def __enter__(self) -> Self:
        self._giving_up = Timer(GIVE_UP_S, self.kill)
        self._giving_up.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()
        self._giving_up.cancel()

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._ended_within(0)

    def wait(self, timeout: float = GIVE_UP_S) -> int:
        """The exit code, once it has ended. Raises TimeoutExpired."""
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("netbasis", timeout)
        return code

    def _ended_within(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], seconds)[0]:
            self.returncode = self._hear()
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """A signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: bytes | None = None, timeout: float = GIVE_UP_S) -> tuple[bytes, bytes]:
        """Write to its stdin and close it, read what it prints to the end, and wait."""
        heard: dict[str, bytes] = {}
        readers = [Thread(target=_read_all, args=(heard, name, getattr(self, name))) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        if self.stdin is not None:
            with suppress(BrokenPipeError):
                self.stdin.write(given or b"")
                self.stdin.close()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return heard["stdout"], heard["stderr"]


def _read_all(heard: dict[str, bytes], name: str, stream: IO[bytes] | None) -> None:
    if stream is None:
        heard[name] = b""
        return
    with stream:
        heard[name] = stream.read()


def _pipe_to(given: int | IO[Any]) -> tuple[IO[bytes] | None, int]:
    """This side of a stream that a child reads, and the child's."""
    if given != subprocess.PIPE:
        return None, _number_of(given, os.O_RDONLY)
    reading, writing = os.pipe()
    return os.fdopen(writing, "wb"), reading


def _pipe_from(given: int | IO[Any], bufsize: int) -> tuple[IO[bytes] | None, int]:
    """This side of a stream that a child writes, and the child's."""
    if given != subprocess.PIPE:
        return None, _number_of(given, os.O_WRONLY)
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", bufsize), writing


def _number_of(given: int | IO[Any], access: int) -> int:
    if given == subprocess.DEVNULL:
        return os.open(os.devnull, access)
    return given if isinstance(given, int) else given.fileno()


def run_program(program: str, *words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    """Run a Python program to its end, which may be as abrupt as it likes; what it printed and its exit code."""
    arguments = [str(word) for word in words]
    with ForkedScript(arguments, cwd=cwd, env=dict(os.environ), program=program) as child:
        out, err = child.communicate()
    return subprocess.CompletedProcess(arguments, child.returncode, out, err)


@cache
def _server() -> socket.socket:
    """This process's server, started at its first use. It ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.script_server import serve; serve({theirs.fileno()})"
    started = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        started.wait()

    atexit.register(end)
    return ours


# The server


def serve(listening: int) -> None:
    """Fork a process for each request, and say in its status pipe its process id, then how it ended."""
    _import_everything()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is meant for the tests
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    statuses: dict[int, int] = {}
    with socket.socket(fileno=listening) as requests, selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(waking, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == waking:
                    os.read(waking, _LONGEST_REQUEST)
                elif not _take_request(requests, statuses):
                    return
            _tell_of_the_ended(statuses)


def _import_everything() -> None:
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if ".versions." not in module.name and not module.name.endswith(".env"):
                importlib.import_module(module.name)
    for name in AS_WELL:
        importlib.import_module(name)


def _take_request(requests: socket.socket, statuses: dict[int, int]) -> bool:
    """Start what is asked for; False at the end of the requests."""
    request, numbers, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, _STREAMS + 1)
    if not request:
        return False
    pid = os.fork()
    if pid == 0:
        _become(json.loads(request), numbers[:_STREAMS])
    *streams, status = numbers
    for number in streams:
        os.close(number)
    os.write(status, _STATUS.pack(pid))
    statuses[pid] = status
    return True


def _tell_of_the_ended(statuses: dict[int, int]) -> None:
    while statuses:
        pid, how = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        status = statuses.pop(pid)
        with suppress(BrokenPipeError):  # nobody wants to know
            os.write(status, _STATUS.pack(os.waitstatus_to_exitcode(how)))
        os.close(status)


def _become(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """In the forked process: what the script is at its start, then what it does, then how Python ends it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, given in enumerate(streams):
            os.dup2(given, number)
        os.closerange(_STREAMS, _MORE_THAN_OPEN)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = [str(SCRIPT), *request["words"]]
        encoding, _, errors = request["env"].get("PYTHONIOENCODING", "utf-8:surrogateescape").partition(":")
        sys.stdin, sys.stdout = (_stream(number, encoding, errors or "strict") for number in (0, 1))
        sys.stderr = _stream(2, encoding, "backslashreplace", line_buffering=True)
        code = _run_to_exit(request["program"])
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
        except OSError:
            code = _EXIT_FLUSH_FAILED
        sys.stderr.flush()
    finally:
        os._exit(code)


def _stream(number: int, encoding: str, errors: str, *, line_buffering: bool = False) -> TextIOWrapper:
    """One of Python's three streams, as it opens them."""
    binary = os.fdopen(number, "wb" if number else "rb", closefd=False)
    return TextIOWrapper(binary, encoding, errors, line_buffering=line_buffering or os.isatty(number))


def _run_to_exit(program: str) -> int:
    """Run a program as `python -c` does; its exit code."""
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is the test's own
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does at its end
        traceback.print_exc()
        return 1
    return 0
