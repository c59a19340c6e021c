"""The progress callback of long operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

_Event = TypeVar("_Event")
_AT_ONCE = 1000

# Called from time to time with the number of events done so far.
OnProgress: TypeAlias = Callable[[int], None]


def counting(events: Iterable[_Event], on_progress: OnProgress | None) -> Iterator[_Event]:
    """The events as they come, counted for who wants to know."""
    if on_progress is None:
        yield from events
        return
    for count, event in enumerate(events, 1):
        yield event
        if count % _AT_ONCE == 0:
            on_progress(count)
