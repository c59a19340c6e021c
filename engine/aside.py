"""A temporary folder for copies of a ledger, which must not outlive their purpose."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_aside(purpose: str) -> Iterator[Path]:
    """A new folder with mode 0700 that is removed at the end with its contents, even if an interrupt arrives meanwhile.

    `purpose`: a word for its name.
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
