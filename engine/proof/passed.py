"""What an engine says of segments to a check that does not read their rows, and what the check passes over on its word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from engine.columns.manifest import Segment
from ledger.database.log_columns import Run


class Source(Protocol):
    """An engine's answers about one segment at a time. All of it raises EngineFailed.

    most_unproved:  where more of a segment's rows than this share are not proved, all of its rows are read
    """

    most_unproved: float

    def unproved(self, segment: Segment) -> Sequence[Any]:
        """The rows of `ledger.integrity.chain_statement.unproved`."""

    def sums(self, segment: Segment, runs: Sequence[Run]) -> Sequence[Any]:
        """The sums of alike events, by run."""

    def marks(self, segment: Segment, runs: Sequence[Run]) -> Sequence[Any]:
        """The newest standing marks, by run."""

    def stands(self, segment: Segment, digest: bytes, version: int | None) -> bool:
        """Whether a hash stands in a segment, at a version where one is given."""
