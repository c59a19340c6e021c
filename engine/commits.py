"""What a bookkeeper has committed: so that whatever fails afterwards can say what is in the book already.

An answer that cannot be printed, a Ctrl-C after the commit: the caller must not take them for "nothing was written", and
write it a second time.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Commit:
    """One committed transaction: how many events it appended to a book, and the version and key of the last of them."""

    book: str
    events: int
    version: int
    key: str


@dataclass(slots=True)
class Commits:
    """The commits of a bookkeeper so far.

    `events`: appended by all of them. `last`: None before the first. `pending`: one that has begun to be committed and of
    which it is not known yet whether it was; None otherwise.
    """

    events: int = 0
    last: Commit | None = None
    pending: Commit | None = None

    def begin(self, commit: Commit) -> None:
        """The transaction is about to be committed."""
        self.pending = commit

    def end(self) -> None:
        """It was committed."""
        assert self.pending is not None
        self.events += self.pending.events
        self.last, self.pending = self.pending, None
