"""What identifies a book, and where its log ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

GENESIS_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a book's log: the newest version, its hash (32 bytes) and when it was recorded (UTC)."""

    version: int
    hash: bytes
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Book:
    """The terms that a book was opened with; they never change. See `ledger.events.Opened` for their meaning."""

    name: str
    mode: str
    numeraire: str
    base_asset: str
    withdrawal_policy: str
