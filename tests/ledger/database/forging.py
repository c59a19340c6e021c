"""A forger who knows the program: a log hashed anew, so that its chain holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tests.engines import Raw


def rehash(raw: Raw, book: str, change: Callable[[int, bytes], bytes]) -> None:
    """Change the bodies of a book, and compute all hashes and the head anew. `change`: of a version and its body."""
    previous = bytes(32)
    rows = raw.execute("SELECT version, body FROM events WHERE book = ? ORDER BY version", [book])
    for version, body in rows:
        changed = change(version, bytes(body))
        previous = hashlib.sha256(previous + changed).digest()
        raw.execute(
            "UPDATE events SET body = ?, hash = ? WHERE book = ? AND version = ?", [changed, previous, book, version]
        )
    raw.execute("UPDATE books SET head_hash = ? WHERE book = ?", [previous, book])
