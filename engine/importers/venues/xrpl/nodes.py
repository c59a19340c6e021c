"""The objects of the ledger that a transaction changed, out of its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.importers.venues.reading import Odd

_NODES = ("CreatedNode", "ModifiedNode", "DeletedNode")


@dataclass(frozen=True, slots=True)
class Node:
    """An object of the ledger that a transaction changed.

    how:    CreatedNode, ModifiedNode or DeletedNode
    kind:   its type, such as AccountRoot
    fields: its fields after the transaction
    before: what those that changed were before
    """

    how: str
    kind: str
    fields: Mapping[str, Any]
    before: Mapping[str, Any]


def nodes_of(meta: Mapping[str, Any]) -> Iterator[Node]:
    """The objects that a transaction changed. Raises Odd."""
    affected = meta.get("AffectedNodes")
    if not isinstance(affected, list):
        raise Odd("the metadata have no AffectedNodes")
    for each in affected:
        how = next((name for name in _NODES if isinstance(each, dict) and name in each), None)
        if how is None or not isinstance(each[how], dict):
            raise Odd("an affected node is neither created, modified nor deleted")
        node = each[how]
        fields = node.get("NewFields" if how == "CreatedNode" else "FinalFields") or {}
        before = node.get("PreviousFields") or {}
        if not isinstance(fields, dict) or not isinstance(before, dict):
            raise Odd("the fields of an affected node are no object")
        yield Node(how, str(node.get("LedgerEntryType")), fields, before)
