"""The error gallery: for every error that a user can meet, one runnable input and its golden output.

A file of `tests/cli/errors/` is named after its code and is a session: lines that begin with `$ ` are commands, for bash, in
an empty folder; what stands below each is what it prints, and its exit code when that is not 0. `make docs` writes it
anew; `tests/cli/test_error_gallery.py` fails when it has drifted, and when a code has no file.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from docs.regenerate import masked
from docs.sessions import at_work, output_of
from ledger.database.connections import without_password

GALLERY = Path(__file__).parent / "errors"
LEDGER = "ledger.db"
INIT = "netbasis init"
# Their commands do not name the file, but what they show is the file's.
ABOUT_FILES = {"database_failed", "database_missing"}


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
    commands, new = commands_of(session), ""
    with _empty_folder(database):
        if commands[0] == INIT and database == LEDGER:
            new, ledger = _after_init()
            Path(LEDGER).write_bytes(ledger)
            del commands[0]
        new += "".join(_with_output(command) for command in commands)
    new = new.replace(without_password(database), LEDGER)
    return session if masked(new) == masked(session) else new


def is_about_a_file(path: Path) -> bool:
    """Whether a session is about a file of the folder, not about the ledger wherever it is."""
    commands = commands_of(path.read_text("utf-8"))
    return path.stem in ABOUT_FILES or any(LEDGER in command for command in commands)


@contextlib.contextmanager
def _empty_folder(database: str) -> Iterator[None]:
    """An empty folder as the current one, with nothing but the database named."""
    without_book = {name: value for name, value in os.environ.items() if name != "NETBASIS_BOOK"}
    with tempfile.TemporaryDirectory() as folder, at_work(Path(folder), {**without_book, "NETBASIS_DB": database}):
        yield


@cache
def _after_init() -> tuple[str, bytes]:
    """How most sessions begin: what it prints, and the ledger that it makes."""
    with _empty_folder(LEDGER):
        return _with_output(INIT), Path(LEDGER).read_bytes()


def _with_output(command: str) -> str:
    printed, code = output_of(command)
    return f"$ {command}\n" + printed.replace(str(Path.cwd()), "/folder") + (f"exit {code}\n" if code else "")


def main() -> None:
    """Write every session's output anew."""
    for path in sessions():
        path.write_text(replayed(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
