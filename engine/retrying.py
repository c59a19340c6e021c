"""Retries of a transaction after a transient fault: a lost connection, a server that restarts, a deadlock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ledger.errors import StorageError

# How long to wait before the second, third, … attempt: a server that restarts is back within a few seconds.
PAUSES_S = (0.1, 0.5, 1.5, 4.0)
ResultT = TypeVar("ResultT")


def retry(work: Callable[[], ResultT], *, safe_to_repeat: Callable[[], bool]) -> ResultT:
    """Run a transaction; after a transient fault run it again, unless that could write something twice.

    After a fault before the commit, a retry is always safe. If the connection was lost during the commit, `safe_to_repeat`
    decides: it is safe when every event has an idempotency key, since a committed event is then found and not written
    again. Raises the StorageError of the last attempt.
    """
    pauses = iter(PAUSES_S)
    is_unknown = False
    while True:
        try:
            return work()
        except StorageError as error:
            is_unknown = is_unknown or error.outcome_is_unknown
            if is_unknown:
                error.leave_outcome_unknown()  # also when a later attempt merely failed to connect
            pause = next(pauses, None)
            if pause is None or not error.is_transient or (is_unknown and not safe_to_repeat()):
                raise
        time.sleep(pause)


class Replayable:
    """Marks an iterable that starts from the beginning each time it is iterated: a file does, a queue does not."""


def always() -> bool:
    """For work that is always safe to repeat."""
    return True
