"""Reading events in earlier versions of their type: upcasters turn the fields of one version into those of the next.

A body keeps its bytes and its hash forever; readers always see the newest version. An upcaster is a pure function from the
fields of one version (as JSON has them, without the envelope) to those of the next, and `upcast` applies them in turn:
`fill/1` to `fill/2`, then `fill/2` to `fill/3`. Every new field makes a new version, even an optional one, so that an older
netbasis refuses the ledger (`ledger.event_types`) instead of misreading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]


def upcast(kind: str, version: int, fields: Fields) -> Fields:
    """An event's fields in the newest version of its type, from its fields in `version`."""
    while (step := UPCASTERS.get((kind, version))) is not None:
        fields = step(fields)
        version += 1
    return fields


def _fill_2(fields: Fields) -> Fields:
    """Version 2 added `strategy` and `tags`; an earlier fill has neither."""
    return fields


def _withdrawal_2(fields: Fields) -> Fields:
    """Version 2 added `evidence.late`; an earlier withdrawal was never late."""
    return fields


def _adjustment_2(fields: Fields) -> Fields:
    """Version 2 added `group`; an earlier adjustment stands alone."""
    return fields


def _withdrawal_3(fields: Fields) -> Fields:
    """Version 3 added `evidence.pending` and `transfer`; an earlier withdrawal had neither."""
    return fields


def _deposit_2(fields: Fields) -> Fields:
    """Version 2 added `transfer`; an earlier deposit came from outside."""
    return fields


# By the type, and the version that the upcaster starts from.
UPCASTERS: Mapping[tuple[str, int], Callable[[Fields], Fields]] = {
    ("fill", 1): _fill_2,
    ("withdrawal", 1): _withdrawal_2,
    ("adjustment", 1): _adjustment_2,
    ("withdrawal", 2): _withdrawal_3,
    ("deposit", 1): _deposit_2,
}
