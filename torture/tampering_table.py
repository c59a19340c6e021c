"""Trying changes on an open ledger, each of which is taken back, and counting what `check` says of them."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from engine.proof.check import LedgerReport, check_ledger
from engine.proof.heads import ExpectedHead
from engine.proof.request import CheckRequest
from ledger.database.connections import Database, _Moment
from ledger.database.tables import events
from ledger.errors import NetbasisError
from ledger.integrity.findings import Finding
from projections import tables as projections

Change = Callable[[Connection], None]
COLUMNS = tuple(column.name for column in events.columns)
OTHER_BOOK = "other"
# Put into a column, one of them differs from whatever stands there and has its type.
VALUES: tuple[object, ...] = (None, "7.5", "forged", 7, b"\x00" * 32, "2026-01-05T09:00:00.000000Z")


@dataclass
class Coverage:
    """By kind of tampering: how many were tried and named, and which were not.

    impossible:  the database itself refused the change
    unseen:      nothing told of it; what it was
    elsewhere:   something was told, but not the first version or the object
    """

    named: Counter[str] = field(default_factory=Counter)
    impossible: Counter[str] = field(default_factory=Counter)
    harmless: Counter[str] = field(default_factory=Counter)
    unseen: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The table."""
        yield f"{'kind':<34}{'named':>8}{'without effect':>16}{'refused by the database':>25}"
        for kind in sorted(self.named | self.impossible | self.harmless):
            yield f"{kind:<34}{self.named[kind]:>8}{self.harmless[kind]:>16}{self.impossible[kind]:>25}"
        total = sum(self.named.values())
        yield f"{total} named, {len(self.unseen)} unseen, {len(self.elsewhere)} told of elsewhere"
        yield from (f"UNSEEN: {what}" for what in self.unseen)
        yield from (f"ELSEWHERE: {what}" for what in self.elsewhere)

    @property
    def ok(self) -> bool:
        """Whether everything was named."""
        return not self.unseen and not self.elsewhere


class Table:
    """Tries changes on one open ledger, each of which is taken back."""

    def __init__(self, connection: Connection, database: Database, coverage: Coverage, share: int, first: int) -> None:
        self.share, self._number = share, first
        self.connection = connection
        self.moment = _Moment(database, connection)
        self.coverage = coverage
        self.is_file = database.dialect == "sqlite"
        self.before = self.rows()
        self._whole = self._everything()
        self.checked().require_sound()

    def rows(self) -> dict[tuple[str, int], tuple[Any, ...]]:
        """The rows of the log, by book and version."""
        found = self.connection.execute(text(f"SELECT {', '.join(COLUMNS)} FROM events"))
        return {(row.book, row.version): tuple(row) for row in found}

    def _everything(self) -> list[str]:
        names = (
            "books",
            "events",
            "event_types",
            "alembic_version",
            "segments",
            *(table.name for table in projections.TABLES),
        )
        return [repr(sorted(map(repr, self.connection.execute(text(f"SELECT * FROM {name}"))))) for name in names]

    def checked(self, heads: Sequence[ExpectedHead] = ()) -> Checked:
        """What plain `check` finds now, or with heads that were kept."""
        try:
            return Checked(check_ledger(self.moment, None, CheckRequest(kept_heads=heads)), None)
        except NetbasisError as error:
            return Checked(None, error)

    def tried(
        self,
        kind: str,
        what: str,
        change: Change,
        names: str | None = None,
        *,
        of_schema: bool = False,
        is_harmless: Callable[[], bool] | None = None,
    ) -> None:
        """Make a crude change and have it checked.

        `names`: what a finding must name; None for the first version. `of_schema`: the guards stay as they are.
        `is_harmless`: asked of a change outside the log in which nothing is found; None where the rows tell. Where only a
        share is tried, it may not be this one's turn.
        """
        self._number += 1
        if self._number % self.share:
            return
        nested = self.connection.begin_nested()
        try:
            try:
                with contextlib.nullcontext() if of_schema else self.unguarded():
                    change(self.connection)
            except (DBAPIError, OverflowError):
                self.coverage.impossible[kind] += 1
                return
            if not of_schema and is_harmless is None and self._everything() == self._whole:
                self.coverage.harmless[kind] += 1
                return
            checked = self.checked()
            if is_harmless is not None and not checked.says_something and is_harmless():
                self.coverage.harmless[kind] += 1
                return
            self.count(kind, what, checked, names or self._first_difference())
        finally:
            nested.rollback()

    def _first_difference(self) -> int | None:
        after = self.rows()
        places = {place for place in self.before.keys() | after.keys() if self.before.get(place) != after.get(place)}
        return min((version for _, version in places if type(version) is int), default=None)

    def count(self, kind: str, what: str, checked: Checked, named: str | int | None) -> None:
        if not checked.says_something:
            self.coverage.unseen.append(f"{kind}: {what}")
        elif checked.names(named):
            self.coverage.named[kind] += 1
        else:
            self.coverage.elsewhere.append(f"{kind}: {what}: expected {named}, found {checked.told()}")

    @contextlib.contextmanager
    def unguarded(self) -> Iterator[None]:
        """As an intruder with the file, or a superuser, has it: no guard stands in the way; they are back at the end."""
        if not self.is_file:
            self.connection.execute(text("SET LOCAL session_replication_role = replica"))
            yield
            self.connection.execute(text("SET LOCAL session_replication_role = origin"))
            return
        guards = self.connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in guards:
            self.connection.execute(text(f"DROP TRIGGER {name}"))
        yield
        there = set(self.connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")))
        for name, statement in guards:
            if name not in there:
                self.connection.exec_driver_sql(statement)


@dataclass(frozen=True)
class Checked:
    report: LedgerReport | None
    error: NetbasisError | None

    @property
    def findings(self) -> list[Finding]:
        if self.report is None:
            return []
        return [*self.report.findings, *(finding for book in self.report.books for finding in book.findings)]

    @property
    def says_something(self) -> bool:
        return self.error is not None or bool(self.findings)

    def names(self, what: str | int | None) -> bool:
        if isinstance(what, str):
            return any(re.search(what, text) for text in self.told())
        return self.error is not None or any(finding.version == what for finding in self.findings)

    def told(self) -> list[str]:
        if self.error is not None:
            return [str(self.error)]
        return [f"{finding.version}: {finding.invariant}: {finding.detail}" for finding in self.findings]

    def require_sound(self) -> None:
        assert not self.says_something, self.told()
