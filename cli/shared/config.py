"""`netbasis.toml`: the database and book of a folder, so that they need not be said each time.

    db = "live.db"      # a path is relative to the file
    book = "main"
    zone = "Europe/Berlin"      # whose days, months and years --from, --to, --as-of and --known-at mean; else UTC

It is looked for in the current folder and upward. A flag wins over the environment, the environment over the file.
Whatever is wrong with it, down to what its reader stumbles over, is a usage error that names it.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.shared.usage import WrongUsage

NAME = "netbasis.toml"
_KEYS = frozenset({"db", "book", "zone"})
_BYTES = 1 << 16  # it has two lines
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class FileSettings:
    """What the file says; None for what it leaves out."""

    db: str | None = None
    book: str | None = None
    zone: str | None = None


def read_settings(folder: Path) -> FileSettings:
    """The settings of the nearest file in the folder or above it. A file that is wrong is a usage error."""
    folder = folder.absolute()
    found = next((path for place in (folder, *folder.parents) if (path := place / NAME).is_file()), None)
    if found is None:
        return FileSettings()
    values = _values(found)
    for key, value in values.items():
        if key not in _KEYS or not isinstance(value, str):
            raise WrongUsage(f"{found}: {key!r}: expected db, book and zone, each a text in quotes")
    db = values.get("db")
    if db is not None and "\0" in db:
        raise WrongUsage(f"{found}: 'db': expected a path, but it has a NUL")
    if db is not None and "://" not in db and not Path(db).is_absolute():
        db = os.path.relpath(found.parent / db, folder)  # short, since it is shown
    return FileSettings(db, values.get("book"), values.get("zone"))


def _values(file: Path) -> dict[str, Any]:
    """What stands in the file. Raises WrongUsage."""
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
    except ValueError as error:  # a number of more digits than Python takes, a date of no calendar
        raise WrongUsage(f"{file} cannot be read: it has a number or a time that is out of range") from error
