"""`netbasis.toml`: the database, book and time zone of a folder, so that they need not be given each time.

    db = "live.db"              # a path is relative to the file
    book = "main"
    method = "average"          # how lots are closed: average, fifo, lifo, hifo or lofo; by default fifo
    zone = "Europe/Berlin"      # for days, months and years in --from, --to, --as-of and --known-at; by default UTC

It is looked up in the current folder and its parents. Options take precedence over the environment, and the environment
over the file. Anything wrong with the file raises WrongUsage, naming it.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.shared.usage import WrongUsage

NAME = "netbasis.toml"
_KEYS = frozenset({"db", "book", "zone", "method"})
_BYTES = 1 << 16  # it has four lines
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class FileSettings:
    """The settings in the file; None for each that it leaves out.

    place: the file itself; None for none
    """

    db: str | None = None
    book: str | None = None
    zone: str | None = None
    method: str | None = None
    place: Path | None = None


def read_settings(folder: Path) -> FileSettings:
    """The settings of the nearest file, in the folder or above it; all None without a file. Raises WrongUsage."""
    folder = folder.absolute()
    found = next((path for place in (folder, *folder.parents) if (path := place / NAME).is_file()), None)
    if found is None:
        return FileSettings()
    values = _values(found)
    for key, value in values.items():
        if key not in _KEYS or not isinstance(value, str):
            raise WrongUsage(f"{found}: {key!r}: expected db, book, zone and method, each a text in quotes")
    db = values.get("db")
    if db is not None and "\0" in db:
        raise WrongUsage(f"{found}: 'db': expected a path, but it has a NUL")
    if db is not None and "://" not in db and not Path(db).is_absolute():
        db = os.path.relpath(found.parent / db, folder)  # short, since it is shown
    return FileSettings(db, values.get("book"), values.get("zone"), values.get("method"), found)


def _values(file: Path) -> dict[str, Any]:
    """The content of the file. Raises WrongUsage."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_BYTES + 1)
        if len(content) > _BYTES:
            raise WrongUsage(f"{file} cannot be read: it has more than {_BYTES} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise WrongUsage(f"{file} cannot be read: it is nested too deeply") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{file} cannot be read: {str(error)[:_SHOWN_CHARACTERS]}") from error
    except ValueError as error:  # a number with more digits than Python accepts, an impossible date
        raise WrongUsage(f"{file} cannot be read: it has a number or a time that is out of range") from error
