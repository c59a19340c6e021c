"""Doing a transaction again after trouble that passes: a lost connection, a server that restarts, a deadlock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ledger.errors import StorageError

# How long to wait before the second, third, … attempt: a server that restarts is back within a few seconds.
PAUSES_S = (0.1, 0.5, 1.5, 4.0)
ResultT = TypeVar("ResultT")


def repeated(work: Callable[[], ResultT], *, repeatable: Callable[[], bool]) -> ResultT:
    """Do a transaction again after a fault that passes, where that cannot write anything twice.

    That is so when it is known that nothing was written, and always when it is `repeatable`, as when every event has a
    key: what was written after all is found by it and answered.
    """
    pauses = iter(PAUSES_S)
    is_unknown = False
    while True:
        try:
            return work()
        except StorageError as error:
            is_unknown = is_unknown or error.outcome_is_unknown
            if is_unknown:
                error.leave_outcome_unknown()  # also of a later attempt that only could not get there
            pause = next(pauses, None)
            if pause is None or not error.is_passing or (is_unknown and not repeatable()):
                raise
        time.sleep(pause)


class Rereadable:
    """Marks what begins anew each time it is gone through, as a file does, and a queue does not."""


def always() -> bool:
    """Of work that may be repeated whatever has become of it."""
    return True
