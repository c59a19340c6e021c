"""The (type, version) pairs that a ledger holds, so that an older netbasis refuses the ledger instead of misreading it.

Each pair, such as `("fill", 2)`, gets its row in the table `event_types` in the transaction that appends the first such
event. Opening a ledger reads the rows; for one that this netbasis does not know, the error names the release to install.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select, text

from ledger.database.tables import event_types
from ledger.errors import StorageError, StorageFault, shown
from ledger.events import EVENT_TYPES

EventType = tuple[str, int]

# The first release that can read each (type, version).
FIRST_RELEASE = "0.1.0"
RELEASES: Mapping[EventType, str] = {
    **{(kind, 1): FIRST_RELEASE for kind in EVENT_TYPES},
    ("fill", 2): "0.2.0",
    ("withdrawal", 2): "0.2.0",
    ("adjustment", 2): "0.2.0",
    ("withdrawal", 3): "0.2.0",
    ("deposit", 2): "0.2.0",
}

# Adds a (type, version), unless it is there already.
ANNOUNCE = text(
    "INSERT INTO event_types (type, version, release) VALUES (:type, :version, :release) ON CONFLICT DO NOTHING"
)


def read_event_types(connection: Connection) -> dict[EventType, str]:
    """The (type, version) pairs that the ledger holds, and the first release that can read each."""
    return {(row.type, row.version): row.release for row in connection.execute(select(event_types))}


def require_readable(connection: Connection) -> frozenset[EventType]:
    """The (type, version) pairs that the ledger holds.

    Raises StorageError `event_type_newer` when this netbasis does not know one of them.
    """
    found = read_event_types(connection)
    for (kind, version), release in sorted(found.items(), key=str):
        if (kind, version) not in RELEASES:
            raise StorageError(
                StorageFault.EVENT_TYPE_NEWER,
                f"the ledger holds events of a type that this netbasis does not know: {shown(f'{kind}/{version}')}",
                expected=f"netbasis {shown(release)} or newer",
                advice="install that release; the ledger was not changed",
            )
    return frozenset(found)


def announce(connection: Connection, types: Collection[EventType]) -> None:
    """Record that the ledger holds events of these (type, version) pairs."""
    if types:
        connection.execute(ANNOUNCE, announcements(types))


def announcements(types: Collection[EventType]) -> list[dict[str, object]]:
    """The parameters of `ANNOUNCE` for (type, version) pairs."""
    return [{"type": kind, "version": version, "release": RELEASES[kind, version]} for kind, version in sorted(types)]
