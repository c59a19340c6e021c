"""How an older database is recognised. Its rows are planned and reconciled by `legacy.importing`, not read as items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.importers.items import Item, Kind, Sample, Settings, Source, Unreadable

_MAGIC = b"SQLite format 3\0"
# Its own tables; `fills` and `engine_state` others have, too.
_TABLES = (b"capital_events", b"inventory_ledger")
# A netbasis ledger is no old database.
_OURS = b"projection_heads"


def _recognises(sample: Sample) -> bool:
    head = sample.head
    return head.startswith(_MAGIC) and any(table in head for table in _TABLES) and _OURS not in head


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    raise Unreadable("an old database is imported by itself: netbasis import legacy-db FILE")


KIND = Kind(
    name="legacy-db",
    help="the database of the engine before netbasis, with a reconciliation at the end",
    recognises=_recognises,
    read=_read,
)
