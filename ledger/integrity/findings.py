"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. `expected`, `actual` and `difference` are canonical texts, None where none applies.

    `version`: the event after which it does not hold; None when it is not about one event.
    """

    invariant: str
    version: int | None
    detail: str
    expected: str | None = None
    actual: str | None = None
    difference: str | None = None
