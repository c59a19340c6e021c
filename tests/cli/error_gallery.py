"""The error gallery: for every error that a user can meet, one runnable input and its golden output.

A file of `tests/cli/errors/` is named after its code and is a session: lines that begin with `$ ` are commands, for bash, in
an empty folder; what stands below each is what it prints, and its exit code when that is not 0. `make docs` writes it
anew; `tests/cli/test_error_gallery.py` fails when it has drifted, and when a code has no file.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from docs.regenerate import masked
from docs.sessions import at_work, output_of
from ledger.database.connections import without_password
from tests.support import ledger_file

GALLERY = Path(__file__).parent / "errors"
LEDGER = "ledger.db"
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
    without_book = {name: value for name, value in os.environ.items() if name != "NETBASIS_BOOK"}
    environment = {**without_book, "NETBASIS_DB": database}
    with tempfile.TemporaryDirectory() as folder, at_work(Path(folder), environment):
        if session.startswith("$ netbasis init\n") and database == LEDGER:
            ledger_file(Path(folder))  # migrated already: `init` has only to open its book
        new = "".join(f"$ {command}\n{_output(command)}" for command in commands_of(session))
    new = new.replace(without_password(database), LEDGER)
    return session if masked(new) == masked(session) else new


def is_about_a_file(path: Path) -> bool:
    """Whether a session is about a file of the folder, not about the ledger wherever it is."""
    commands = commands_of(path.read_text("utf-8"))
    return path.stem in ABOUT_FILES or any(LEDGER in command for command in commands)


def _output(command: str) -> str:
    printed, code = output_of(command)
    return printed.replace(str(Path.cwd()), "/folder") + (f"exit {code}\n" if code else "")


def main() -> None:
    """Write every session's output anew."""
    for path in sessions():
        path.write_text(replayed(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
