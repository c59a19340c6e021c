"""Work for a worker process that says what it was given. In a module that imports nothing: the process imports it, too."""

from __future__ import annotations

from collections.abc import Iterator


class Says:
    """Work that gives the answers that it is made with, and fails."""

    def __init__(self, *given: object) -> None:
        self.given = given

    def answers(self) -> Iterator[object]:
        """What it was given. Raises ValueError."""
        yield from self.given
        raise ValueError("and no more")
