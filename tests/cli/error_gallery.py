"""The error gallery: for every error that a user can meet, one runnable input and its golden output.

A file of `tests/cli/errors/` is named after its code and is a session: lines that begin with `$ ` are commands, for bash, in
an empty folder; what stands below each is what it prints, and its exit code when that is not 0. `make docs` writes it
anew; `tests/cli/test_error_gallery.py` fails when it has drifted, and when a code has no file.

Commands of netbasis are run in this process, since starting a hundred of them would take longer than all else; the commands
that need a shell are run in one.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cli.main import run
from docs.regenerate import masked
from ledger.database.connections import without_password

GALLERY = Path(__file__).parent / "errors"
LEDGER = "ledger.db"
# Their commands do not name the file, but what they show is the file's.
ABOUT_FILES = {"database_failed", "database_missing"}
_HERE_STRING = re.compile(r"^(?P<command>.*) <<< '(?P<text>[^']*)'$", re.DOTALL)


def sessions() -> list[Path]:
    """The files of the gallery."""
    return sorted(GALLERY.glob("*.txt"))


def commands_of(session: str) -> list[str]:
    """The commands of a session."""
    return re.findall(r"^\$ (.*)$", session, re.MULTILINE)


def replayed(session: str, database: str = LEDGER) -> str:
    """The session with what its commands print now; an output that differs only in ids and times stays as it is.

    `database` is what NETBASIS_DB names; where its name would be printed, `ledger.db` is.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), _environment(database):
        new = "".join(f"$ {command}\n{_output(command)}" for command in commands_of(session))
    new = new.replace(without_password(database), LEDGER)
    return session if masked(new) == masked(session) else new


def is_about_a_file(path: Path) -> bool:
    """Whether a session is about a file of the folder, not about the ledger wherever it is."""
    commands = commands_of(path.read_text("utf-8"))
    return path.stem in ABOUT_FILES or any(LEDGER in command for command in commands)


@contextlib.contextmanager
def _environment(database: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.pop("NETBASIS_BOOK", None)
    os.environ["NETBASIS_DB"] = database
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _output(command: str) -> str:
    match = _HERE_STRING.match(command)
    words = shlex.split(match["command"] if match else command)
    if words[0] == "netbasis" and not {"|", ">", "&&", ";"} & set(words):
        printed, code = _in_process(words[1:], f"{match['text']}\n" if match else "")
    else:
        printed, code = _in_bash(command)
    printed = printed.replace(str(Path.cwd()), "/folder")
    return printed + (f"exit {code}\n" if code else "")


def _in_process(words: list[str], text: str) -> tuple[str, int]:
    printed = io.StringIO()
    before = sys.stdin
    with tempfile.TemporaryFile("w+", encoding="utf-8") as given:
        given.write(text)
        given.seek(0)
        sys.stdin = given
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = run(words)
        finally:
            sys.stdin = before
    return printed.getvalue(), code


def _in_bash(command: str) -> tuple[str, int]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1; {command}"],
        env={**os.environ, "PATH": path, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.returncode


def main() -> None:
    """Write every session's output anew."""
    for path in sessions():
        path.write_text(replayed(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
