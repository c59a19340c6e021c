"""Which forms of events a ledger holds, so that a program that cannot read one refuses the ledger instead of misreading it.

A (type, version) gets its row in `event_types` in the transaction that appends the first event of that form. Opening a
ledger reads the rows; one that this program does not know names the release to install.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select, text

from ledger.database.tables import event_types
from ledger.errors import StorageError, StorageFault, shown
from ledger.events import EVENT_TYPES

EventType = tuple[str, int]

# The release that first read each form.
FIRST_RELEASE = "0.1.0"
RELEASES: Mapping[EventType, str] = {
    **{(kind, 1): FIRST_RELEASE for kind in EVENT_TYPES},
    ("fill", 2): "0.2.0",
    ("withdrawal", 2): "0.2.0",
}

# Makes a form known; one that is known already stays as it is.
ANNOUNCE = text(
    "INSERT INTO event_types (type, version, release) VALUES (:type, :version, :release) ON CONFLICT DO NOTHING"
)


def read_event_types(connection: Connection) -> dict[EventType, str]:
    """The forms of events that the ledger holds, and the first release that reads each."""
    return {(row.type, row.version): row.release for row in connection.execute(select(event_types))}


def require_readable(connection: Connection) -> frozenset[EventType]:
    """The forms of events that the ledger holds.

    Raises StorageError `event_type_newer` when this program does not know one of them.
    """
    found = read_event_types(connection)
    for (kind, version), release in sorted(found.items(), key=str):
        if (kind, version) not in RELEASES:
            raise StorageError(
                StorageFault.EVENT_TYPE_NEWER,
                f"the ledger holds events of a form that this netbasis does not know: {shown(f'{kind}/{version}')}",
                expected=f"netbasis {shown(release)} or newer",
                advice="install that release; the ledger is as it was",
            )
    return frozenset(found)


def announce(connection: Connection, types: Collection[EventType]) -> None:
    """Make known that the ledger holds events of these forms; a form that is known already stays as it is."""
    if types:
        connection.execute(ANNOUNCE, announcements(types))


def announcements(types: Collection[EventType]) -> list[dict[str, object]]:
    """The parameters of `ANNOUNCE` for forms of events."""
    return [{"type": kind, "version": version, "release": RELEASES[kind, version]} for kind, version in sorted(types)]
