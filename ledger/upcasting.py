"""Reading older forms of events: from the fields of one version of a type to those of the next.

A body keeps its bytes and its hash for ever; what reads it sees the newest form. An upcaster is a pure function from one
version's fields (as JSON has them, without the envelope) to the next version's, and `upcast` applies them one after the
other: `fill/1` to `fill/2`, then `fill/2` to `fill/3`. A new field is always a new version, even an optional one, so that
an older program refuses the ledger (`ledger.event_types`) instead of misreading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]


def upcast(kind: str, version: int, fields: Fields) -> Fields:
    """The fields of an event in the newest version of its type, from those of an earlier one."""
    while (step := UPCASTERS.get((kind, version))) is not None:
        fields = step(fields)
        version += 1
    return fields


def _fill_2(fields: Fields) -> Fields:
    """`strategy` and `tags` are new, and nobody gave them."""
    return fields


def _withdrawal_2(fields: Fields) -> Fields:
    """`evidence.late` is new: what was recorded before does not say that it was late."""
    return fields


# By the type and the version that an upcaster starts from.
UPCASTERS: Mapping[tuple[str, int], Callable[[Fields], Fields]] = {
    ("fill", 1): _fill_2,
    ("withdrawal", 1): _withdrawal_2,
}
