"""`netbasis.toml`: the database and book of a folder, so that they need not be said each time.

    db = "live.db"      # a path is relative to the file
    book = "main"
    zone = "Europe/Berlin"      # whose days, months and years --from, --to, --as-of and --known-at mean; else UTC

It is looked for in the current folder and upward. A flag wins over the environment, the environment over the file.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cli.usage import WrongUsage

NAME = "netbasis.toml"
_KEYS = frozenset({"db", "book", "zone"})


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
    try:
        values = tomllib.loads(found.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise WrongUsage(f"{found} cannot be read: {error}") from error
    for key, value in values.items():
        if key not in _KEYS or not isinstance(value, str):
            raise WrongUsage(f"{found}: {key!r}: expected db, book and zone, each a text in quotes")
    db = values.get("db")
    if db is not None and "://" not in db and not Path(db).is_absolute():
        db = os.path.relpath(found.parent / db, folder)  # short, since it is shown
    return FileSettings(db, values.get("book"), values.get("zone"))
