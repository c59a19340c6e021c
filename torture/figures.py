"""What a run of the torture counted, and what it broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Counts by name, and everything that did not hold."""

    count: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How many processes and servers were killed."""
        return sum(number for name, number in self.count.items() if name.startswith("killed: "))

    def lines(self) -> Iterator[str]:
        """The table."""
        width = max(map(len, self.count), default=0)
        yield from (f"  {name.ljust(width)}  {number:>7}" for name, number in sorted(self.count.items()))
        yield f"  {self.kills} kills; {len(self.broken)} times something did not hold"
        yield from (f"  BROKEN: {what}" for what in self.broken)
