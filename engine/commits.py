"""What a bookkeeper has committed: so that whatever fails afterwards can say what is in the book already.

An answer that cannot be printed, a Ctrl-C after the commit: the caller must not take them for "nothing was written", and
write it a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field


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

    `events`: appended by all of them. `last`: those of the last transaction that wrote, one for each of its books; empty
    before the first. `pending`: of a transaction whose commit has begun, and of which it is not known whether it was done.
    """

    events: int = 0
    last: list[Commit] = field(default_factory=list)
    pending: list[Commit] = field(default_factory=list)

    def begin(self, commits: list[Commit]) -> None:
        """The transaction is about to be committed; `commits` is empty when it wrote nothing."""
        self.pending = commits

    def end(self) -> None:
        """It was committed."""
        if self.pending:
            self.events += sum(commit.events for commit in self.pending)
            self.last, self.pending = self.pending, []
