"""What is proved of a whole ledger, and not along a log: SQLite's own check of the file, and that no event id stands twice.

Both take SQLite as long as it takes this program to go over the log, so beside workers that do that, another one does this.
It maps the beginning of the file instead of copying its pages, which saves a third of their time; should the file shrink,
that ends the worker, and what it has not said is done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, text

from engine.proof.workers import Lost, Worker, working
from engine.schema_proof import of_indexes
from ledger.database.connections import Database
from ledger.integrity.file_damage import damaged_indexes
from ledger.integrity.findings import Finding
from ledger.integrity.log_rules import has_repeated_ids
from ledger.integrity.raw_rows import any_text

# Of the file. What is mapped counts as the worker's memory, which does not grow with the log beyond that.
_MAPPED_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class LedgerWork:
    """What a worker does. `address`: of the database; `books`: the names of those whose event ids are counted."""

    address: str
    books: Sequence[str]

    def answers(self) -> Iterator[Any]:
        """The damaged indexes, then of each book whether an event id is repeated in it. Raises StorageError."""
        with Database.open(self.address, "read") as database, database.reading() as connection, any_text(connection):
            if connection.dialect.name == "sqlite":
                connection.execute(text(f"PRAGMA mmap_size = {_MAPPED_BYTES}"))
            yield list(damaged_indexes(connection))
            for book in self.books:
                yield has_repeated_ids(connection, book)


class WholeLedger:
    """What was proved; asked for, it waits for the worker."""

    def __init__(self, connection: Connection, address: str | None, books: Sequence[str]) -> None:
        """`address`: for a worker to open; None: it is done here, at once. Raises StorageError as `indexes` does."""
        self._connection = connection
        self._books = books
        self._stack = ExitStack()
        self._worker: Worker | None = None
        self._indexes: list[Finding] | None = None
        self._is_unique: dict[str, bool] | None = None
        if address is None:
            self.indexes()
            return
        try:
            (self._worker,) = self._stack.enter_context(working([LedgerWork(address, books)]))
        except Lost:
            self.indexes()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def indexes(self) -> list[Finding]:
        """A finding for each index that disagrees with its table.

        Raises StorageError `database_damaged` when the file itself is damaged.
        """
        if self._indexes is None:
            found = self._ask()
            self._indexes = list(of_indexes(damaged_indexes(self._connection) if found is None else found))
        return self._indexes

    def has_unique_ids(self, book: str) -> bool:
        """Whether the worker has found that no event id of a book is repeated; False where nobody has looked."""
        self.indexes()
        if self._is_unique is None:
            answers = {name: self._ask() for name in self._books}
            self._is_unique = {name: answer is False for name, answer in answers.items()}
        return self._is_unique.get(book, False)

    def _ask(self) -> Any:
        """The worker's next answer; None where there is none."""
        if self._worker is None:
            return None
        try:
            return self._worker.answer()
        except Lost:
            self._worker = None
            return None
