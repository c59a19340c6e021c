"""A segment read back as events or rows, from the texts of its amounts: where no engine can add them up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.columns.segment_file import AMOUNTS
from engine.columns.stores import Store, told
from ledger.effects import Effects, Posting
from ledger.integrity.raw_log import COLUMNS
from ledger.stored import StoredEvent
from ledger.times import time_text

_ROWS_AT_ONCE = 1000


def read_rows(store: Store, name: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a segment, in the order of the columns of `events`, as a SQLite file would hold them."""
    import pyarrow.parquet as parquet

    with told(store), store.files.open_input_file(store.path(name)) as file:
        for batch in parquet.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                yield tuple(_raw(row[column]) for column in COLUMNS)


def _raw(value: Any) -> Any:
    return time_text(value.astimezone(UTC)) if isinstance(value, datetime) else value


def read_segment(store: Store, name: str) -> Iterator[StoredEvent]:
    """The events of a segment, in order. Its file must be what was sealed. Raises StorageError `segments_unreachable`."""
    for values in read_rows(store, name):
        row = dict(zip(COLUMNS, values, strict=True))
        amounts = {amount: None if row[amount] is None else Decimal(row[amount]) for amount in AMOUNTS}
        yield _event(row | amounts)


def _event(row: dict[str, Any]) -> StoredEvent:
    effects = Effects(
        effect_of=row["effect_of"],
        own=_posting(row["asset"], row["asset_delta"]),
        quote=_posting(row["quote_asset"], row["quote_delta"]),
        fee=_posting(row["fee_asset"], row["fee_delta"]),
        net_deposits_delta=row["net_deposits_delta"],
        basis_delta=row["basis_delta"],
        starting_value_delta=row["starting_value_delta"],
        unknown_fees=row["unknown_fees"],
        unknown_bases=row["unknown_bases"],
    )
    same = ("book", "version", "event_id", "key", "type", "session_id", "asset", "price", "reverses", "body", "hash")
    return StoredEvent(
        **{name: row[name] for name in (*same, "tx_hash", "reason", "strategy")},
        at=datetime.fromisoformat(row["at"]),
        recorded_at=datetime.fromisoformat(row["recorded_at"]),
        effects=effects,
    )


def _posting(asset: str | None, delta: Decimal | None) -> Posting | None:
    return None if asset is None or delta is None else Posting(asset, delta)
