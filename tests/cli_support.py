"""Runs the installed script `netbasis` as a user does: a child process, a folder of its own, a clean environment.

`Cli.here` runs the same command line in this process, for tables of many cases; an exception that escapes fails the
test. Both refuse a traceback.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from types import TracebackType
from typing import Any, Self

import pytest

from cli.main import run as run_in_process
from cli.shared.options import system_clock
from tests.engines import Engine, contents, forget, raw_access
from tests.postgres_support import clone_of, database_of, empty_database, url_of
from tests.script_server import COMMAND_LINE, GIVE_UP_S, SCRIPT, ForkedScript

LEDGER = "ledger.db"
ON_A_FILE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is about files is so on SQLite alone


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout; floats are refused, since no amount may be one."""
        return json.loads(self.out, parse_float=_no_float)

    @property
    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.out.splitlines()


def _no_float(text: str) -> None:
    raise AssertionError(f"a binary float in JSON: {text}")


class Child(subprocess.Popen[bytes]):
    """A started script, killed when its test fails or has waited for it too long: a hang is a failure, not a wait."""

    def __enter__(self) -> Self:
        self._giving_up = Timer(GIVE_UP_S, self.kill)
        self._giving_up.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        super().__exit__(kind, error, traceback)
        self._giving_up.cancel()


class Cli:
    """A folder to work in, and a ledger on one of the engines with the book `main` at version 1 unless `empty`.

    On SQLite the ledger is the file `ledger.db` of the folder, on PostgreSQL a database of its own. `db` is the file.
    """

    def __init__(self, folder: Path, engine: Engine = "sqlite", *, empty: bool = False) -> None:
        self.folder = folder
        self.engine = engine
        self._spare: str | None = None
        self.db = folder / LEDGER
        self.book = "main"  # that `here`, `append` and `head` are about
        if engine == "postgres":
            self.location = url_of(empty_database() if empty else clone_of(_initialised_database()))
        else:
            self.location = str(self.db)
            if not empty:
                self.db.write_bytes(_initialised())

    @property
    def named(self) -> str:
        """The ledger as a user in its folder names it: `--db ledger.db`, or the URL."""
        return self.location if self.engine == "postgres" else self.db.name

    def run(
        self,
        *arguments: str | os.PathLike[str],
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        before_exec: Callable[[], None] | None = None,
        first: str = "",
        target: tuple[str, ...] | None = None,
    ) -> Ran:
        """Run a command line to its end, as the script would in its folder. `target` stands before the arguments.

        first: Python statements that a process of its own runs before the command, such as one that limits it

        In this process, which takes a fraction of the time that starting one does, unless the process is the point: with
        variables that Python reads when it starts, or with `before_exec`, which runs in the child, the script is started.
        The streams' encoding, PYTHONIOENCODING, is followed by a forked process.
        """
        words = [
            *(("--db", self.named) if target is None else target),
            *(os.fspath(argument) for argument in arguments),
        ]
        if first or "PYTHONIOENCODING" in (env or {}):
            program = f"{first or 'pass'}; {COMMAND_LINE}"
            environment = clean_environment(self.folder, env)
            with ForkedScript(words, cwd=self.folder, env=environment, program=program) as child:
                out, err = child.communicate(stdin)
            return _checked(Ran(child.returncode, out.decode(), err.decode()))
        if before_exec is None and not any(name.startswith(("PYTHON", "LC_")) for name in env or ()):
            return _checked(_in_process(words, stdin, self.folder, env))
        return self.run_script(*words, stdin=stdin, env=env, before_exec=before_exec)

    def run_script(
        self,
        *words: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        before_exec: Callable[[], None] | None = None,
    ) -> Ran:
        """Run the installed script to its end, in a process of its own."""
        done = subprocess.run(
            [SCRIPT, *words],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=clean_environment(self.folder, env),
            preexec_fn=before_exec,
            timeout=GIVE_UP_S,
            check=False,
        )
        return _checked(Ran(done.returncode, done.stdout.decode(), done.stderr.decode()))

    def start(self, *arguments: str, **how: Any) -> ForkedScript:
        """The command line in a process of its own, with pipes; to be used as a context manager, inside it `ended`."""
        fixed = {"cwd": self.folder, "env": clean_environment(self.folder)}
        return ForkedScript(["--db", self.named, *arguments], **{**fixed, **how})

    def here(self, *arguments: str, target: tuple[str, ...] | None = None, now: datetime | None = None) -> Ran:
        """Run a command line in this process; `target` is this ledger and its book `book` unless it is given.

        `now`: what its clock says; None for the system's.
        """
        out, err = io.StringIO(), io.StringIO()
        target = ("--db", self.location, "--book", self.book) if target is None else target
        with redirect_stdout(out), redirect_stderr(err):
            code = run_in_process([*target, *arguments], clock=system_clock if now is None else lambda: now)
        return _checked(Ran(code, out.getvalue(), err.getvalue()))

    def write(self, name: str, content: bytes | str) -> str:
        """A file in the folder; its name."""
        data = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(data)
        return name

    def append(self, *events: Mapping[str, object]) -> None:
        """Append events by `append --file`, in this process; to a new ledger in a file, once for neighbouring tests."""
        given = ndjson(events)
        if self.engine == "sqlite" and self.book == "main" and _is_new(self.db):
            self.db.write_bytes(_with_events(given))
        else:
            self._append(given)

    def _append(self, given: bytes) -> None:
        ran = self.here("append", "--file", str(self.folder / self.write("given.ndjson", given)))
        assert ran.code == 0, ran.err

    @contextmanager
    def kept(self) -> Iterator[None]:
        """For something that may change anything: afterwards folder and ledger are what they were."""
        files = {path: path.read_bytes() for path in self.folder.iterdir()}
        before = self.contents()
        if self.engine == "postgres":
            self._spare = self._spare or clone_of(database_of(self.location))
        try:
            yield
        finally:
            for path in self.folder.iterdir():
                path.unlink()
            for path, content in files.items():
                path.write_bytes(content)
            if self._spare and self.contents() != before:
                forget(self.location)
                self.location = url_of(clone_of(self._spare))

    def head(self) -> int:
        """The version of the newest event of the book, read past the program."""
        with raw_access(self.location) as raw:
            ((version,),) = raw.execute("SELECT head_version FROM books WHERE book = ?", [self.book])
        assert isinstance(version, int)
        return version

    def contents(self) -> list[tuple[Any, ...]]:
        """All that the ledger holds, read past the program."""
        return contents(self.location)

    def unchanged(self) -> object:
        """What stays as it is when nothing is written: on SQLite every byte of the file, too."""
        return self.contents(), None if self.engine == "postgres" else sha256(self.db)


def _in_process(words: list[str], stdin: bytes, folder: Path, env: Mapping[str, str] | None = None) -> Ran:
    """The real command line with real streams: a file as standard input, bytes as output, the folder, a clean environment.

    What a process would hide from another is put back: folder, environment, streams. What the program keeps in memory
    between two commands (caches of statements, of types) holds no state of a ledger.
    """
    printed = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, "utf-8", "backslashreplace", write_through=True) for stream in printed)
    before, streams = dict(os.environ), (sys.stdin, sys.stdout, sys.stderr)
    with tempfile.TemporaryFile() as given, contextlib.chdir(folder):
        given.write(stdin)
        given.seek(0)
        sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(given, "utf-8", "surrogateescape"), out, err
        os.environ.clear()
        os.environ.update(clean_environment(folder, env))
        try:
            code = run_in_process(words)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1
        finally:
            sys.stdin.detach()
            sys.stdin, sys.stdout, sys.stderr = streams
            os.environ.clear()
            os.environ.update(before)
    return Ran(code, *(stream.getvalue().decode() for stream in printed))


def _checked(ran: Ran) -> Ran:
    assert "Traceback" not in ran.err, ran.err
    assert "Fatal Python error" not in ran.err, ran.err
    return ran


def clean_environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child sees: no NETBASIS_…, no PYTHON…, no terminal size, a home of its own."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LANG": "C.UTF-8", **(more or {})}


@cache
def _initialised() -> bytes:
    """The bytes of a new ledger: made by the script once per process, then copied, which is much quicker."""
    with TemporaryDirectory() as folder:
        ran = Cli(Path(folder), empty=True).run("init")
        assert ran.code == 0, ran.err
        assert [path.name for path in Path(folder).iterdir()] == [LEDGER], "a closed ledger is one file"
        return (Path(folder) / LEDGER).read_bytes()


def _is_new(path: Path) -> bool:
    """Whether a ledger is what `init` made, with nothing beside it."""
    return path.read_bytes() == _initialised() and not list(path.parent.glob(f"{path.name}-*"))


@lru_cache(maxsize=4)  # few, so that none is so old that its marks are stale
def _with_events(given: bytes) -> bytes:
    """The bytes of a new ledger to which these lines were appended."""
    with TemporaryDirectory() as folder:
        made = Cli(Path(folder))
        made._append(given)
        return made.db.read_bytes()


@cache
def _initialised_database() -> str:
    """The name of a database with a new ledger: made by the script once per process, then cloned."""
    name = empty_database()
    with TemporaryDirectory() as folder:
        ran = Cli(Path(folder), empty=True).run("init", target=("--db", url_of(name)))
    assert ran.code == 0, ran.err
    return name


def without_stream(name: str) -> str:
    """For a process of its own: this one of its streams was closed by whoever started it, and is None in Python."""
    return f"import os, sys; os.close(sys.{name}.fileno()); sys.{name} = sys.__{name}__ = None"


def ended(child: subprocess.Popen[bytes] | ForkedScript) -> Ran:
    """What a started child did, once it has ended. Its stdin stays as it is."""
    assert child.stdout is not None
    assert child.stderr is not None
    code = child.wait(GIVE_UP_S)
    return _checked(Ran(code, child.stdout.read().decode(), child.stderr.read().decode()))


def ndjson(events: Iterable[Mapping[str, object]]) -> bytes:
    """Events as NDJSON, amounts being texts already."""
    return b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)


def deposit(key: str, amount: str = "1", **fields: object) -> dict[str, object]:
    """A deposit of the numeraire, as a line of a file."""
    return {"type": "deposit", "key": key, "asset": "RLUSD", "amount": amount, **fields}


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_refused(ran: Ran, code: int, error: str, *words: str) -> None:
    """The command failed with an exit code and one line `error[code]: …` that has the words, and printed nothing."""
    assert ran.err.startswith(f"error[{error}]: "), ran
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1), ran
    for word in words:
        assert word in ran.err, ran.err
