"""A temporary folder for copies of a ledger, which must not outlive what they were made for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_aside(purpose: str) -> Iterator[Path]:
    """A folder of its own, for its owner only, that is removed at the end with all that is in it.

    It is so, too, when an interrupt comes while it is removed. `purpose` stands in its name.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"netbasis-{purpose}-"))
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
