"""A book's terms, and the end of its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

GENESIS_HASH = bytes(32)


def head_text(version: int | None, hash_: bytes) -> str:
    """`VERSION:HASH`, the hash in hex."""
    return f"{version}:{hash_.hex()}"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a book's log: the newest version, its hash (32 bytes) and when it was recorded (UTC)."""

    version: int
    hash: bytes
    recorded_at: datetime

    def __str__(self) -> str:
        """`VERSION:HASH`, the hash in hex: as commands show it and as `check --expect-head` takes it."""
        return head_text(self.version, self.hash)


@dataclass(frozen=True, slots=True)
class Book:
    """The terms that a book was opened with; they never change. See `ledger.events.Opened` for their meaning."""

    name: str
    mode: str
    numeraire: str
    base_asset: str
    withdrawal_policy: str

    @classmethod
    def on_terms_of(cls, name: str, opened: Any) -> Self:
        """A book with the terms that `opened` (an opening event, a row or another book) has as attributes."""
        return cls(name, *(getattr(opened, term) for term in TERMS))


TERMS = ("mode", "numeraire", "base_asset", "withdrawal_policy")
