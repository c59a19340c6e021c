"""`db upgrade --check`: before a deployment, whether this program could read every event of a ledger, of any revision.

Every body is decoded and upcast, as reading it after the upgrade would; nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text

from engine import schema
from engine.reports.report import Report, Table, counted
from engine.schema_proof import require_no_strangers
from ledger.database.connections import Database
from ledger.errors import NetbasisError, StorageError
from ledger.event_types import RELEASES
from ledger.progress import OnProgress, counting
from ledger.store import ROWS_AT_ONCE
from ledger.stored import decode_body, split_type

COLUMNS = ("type", "version", "events", "readable", "first_unreadable", "why")
_BODIES = text("SELECT book, version, body FROM events ORDER BY book, version")
_ANNOUNCED = text("SELECT type, version, release FROM event_types")


@dataclass(slots=True)
class Form:
    """The events of one type and version in a ledger.

    events:            how many there are
    first_unreadable:  the place of the first that this program cannot read; None when it can read all
    why:               why it cannot
    """

    type: str
    version: int | None
    events: int = 0
    first_unreadable: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class UpgradeCheck:
    """What an upgrade would meet.

    revision:  of the ledger's schema
    forms:     by type and version
    obstacle:  what else would stop the upgrade; None for nothing
    """

    revision: str
    forms: list[Form]
    obstacle: str | None

    @property
    def ok(self) -> bool:
        """Whether the ledger can be upgraded and read."""
        return self.obstacle is None and all(form.first_unreadable is None for form in self.forms)


def check_upgrade(database: Database, *, on_progress: OnProgress | None = None) -> UpgradeCheck:
    """Read every event of a ledger as it will be read after an upgrade.

    `on_progress`: called with the number of events read. Raises StorageError, among them `schema_newer`, `not_a_ledger`.
    """
    with database.reading() as connection:
        revision = schema.current(connection)
        if revision is None:
            schema.require_newest(connection)  # raises: it is empty
        assert revision is not None
        schema.require_known(revision)
        forms: dict[tuple[str, int | None], Form] = {}
        for kind, version, release in _announced(connection, revision):
            if (kind, version) not in RELEASES:
                forms[kind, version] = Form(kind, version, 0, "announced", f"needs netbasis {release} or newer")
        for book, version, body in counting(_bodies(connection), on_progress):
            _observe(forms, f"{book}:{version}", body)
        obstacle = None
        try:
            require_no_strangers(connection)
        except StorageError as error:
            obstacle = f"{error.what}: {error.actual}"
    ordered = sorted(forms.values(), key=lambda form: (form.type, form.version or 0))
    return UpgradeCheck(revision, ordered, obstacle)


def _announced(connection: Connection, revision: str) -> Iterator[tuple[str, int, str]]:
    if revision >= "0002":  # before that there was no such table, and one version of each type
        for row in connection.execute(_ANNOUNCED):
            yield row.type, row.version, row.release


def _bodies(connection: Connection) -> Iterator[tuple[str, int, bytes]]:
    rows = connection.execute(_BODIES, execution_options={"yield_per": ROWS_AT_ONCE})
    for book, version, body in rows:
        yield book, version, bytes(body)


def _observe(forms: dict[tuple[str, int | None], Form], place: str, body: bytes) -> None:
    kind, version = _form_of(body)
    form = forms.setdefault((kind, version), Form(kind, version))
    form.events += 1
    if form.first_unreadable in (None, "announced"):
        try:
            decode_body(body)
        except NetbasisError as error:
            form.first_unreadable, form.why = place, form.why or error.what


def _form_of(body: bytes) -> tuple[str, int | None]:
    try:
        fields: dict[str, Any] = orjson.loads(body)
        return split_type(fields["type"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "(no type)", None


def report(found: UpgradeCheck) -> Report:
    """For people and programs."""
    rows = [
        [form.type, form.version, form.events, form.first_unreadable is None, form.first_unreadable, form.why]
        for form in found.forms
    ]
    table = Table(COLUMNS, rows)
    events = sum(form.events for form in found.forms)
    bad = sum(form.first_unreadable is not None for form in found.forms)
    end = f"{counted(events, 'event')} of revision {found.revision}: this netbasis (revision {schema.NEWEST}) "
    end += "reads all of them" if not bad else f"cannot read {counted(bad, 'form')}; install the release that is named"
    lines = [end] if found.obstacle is None else [end, f"the upgrade would be refused: {found.obstacle}"]
    document = {
        "revision": found.revision,
        "newest": schema.NEWEST,
        "ok": found.ok,
        "obstacle": found.obstacle,
        "forms": table.as_dicts(),
    }
    return Report(document, [table, *lines], table)
