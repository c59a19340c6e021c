"""What a bookkeeper has committed, so that a failure afterwards can say what is already in the book.

After a commit, an answer may fail to print, or a Ctrl-C may arrive. The caller must not take that for "nothing was written"
and write it a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction appended to one book.

    book:          the book's name
    events:        how many events
    version, key:  of the last of them
    """

    book: str
    events: int
    version: int
    key: str


@dataclass(slots=True)
class Commits:
    """The commits of a bookkeeper so far.

    events:   how many events all of them appended
    last:     those of the latest transaction that wrote something, one for each book; empty before the first
    pending:  those of a transaction whose commit has begun; whether it succeeded is not known yet
    """

    events: int = 0
    last: list[Commit] = field(default_factory=list)
    pending: list[Commit] = field(default_factory=list)

    def begin(self, commits: list[Commit]) -> None:
        """A transaction is about to be committed. `commits`: empty when it wrote nothing."""
        self.pending = commits

    def end(self) -> None:
        """The pending transaction was committed."""
        if self.pending:
            self.events += sum(commit.events for commit in self.pending)
            self.last, self.pending = self.pending, []
